"""Blobs: input and output files of jobs, stored once for each content."""
