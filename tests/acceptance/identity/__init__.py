"""Stories about persons: who they are, and who is refused."""
