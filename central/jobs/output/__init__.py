"""Output of running and ended jobs, for users who read or follow it."""
