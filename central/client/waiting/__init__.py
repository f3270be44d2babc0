"""Waiting for jobs and productions, and following their output."""
