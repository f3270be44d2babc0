"""Storages of a central: their files, requests to them, and their tokens."""
