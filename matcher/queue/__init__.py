"""The queue: waiting jobs by class, priority and owner."""
