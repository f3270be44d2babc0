"""Batch systems: which one started this pilot, and its limits for the job."""
