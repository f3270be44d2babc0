"""Output of running and ended jobs, as people read and follow it."""
