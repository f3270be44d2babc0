"""The composition root: builds the services of a process and joins them with their routes."""
