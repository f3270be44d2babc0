"""Job and transformation files, read and checked for people."""
