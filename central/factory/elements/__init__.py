"""Drivers of compute elements, one a file."""
