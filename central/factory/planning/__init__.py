"""Plans: the numbers of pilots to start and to cancel, by place."""
