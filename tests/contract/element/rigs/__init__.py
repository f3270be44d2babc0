"""What stands behind each driver in the contract suite: real systems, started by the suite."""
