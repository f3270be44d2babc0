"""Batch systems: which one has started this pilot, and what it says of its job."""
