"""Plans: how many pilots to start and to cancel, and where."""
