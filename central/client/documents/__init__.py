"""Readers of job and transformation files."""
