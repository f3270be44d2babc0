"""The folders and files of attempts: packed, found, measured, and taken away."""
