"""Python functions as jobs: the `Executor`, and what travels to its jobs and back."""
