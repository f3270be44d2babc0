"""Blobs: files that travel with jobs, stored once per content."""
