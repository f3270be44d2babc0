"""Keeps the right number of pilots on the compute elements of the sites."""
