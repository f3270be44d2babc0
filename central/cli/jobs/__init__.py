"""Commands about jobs: submit, look, follow and act."""
