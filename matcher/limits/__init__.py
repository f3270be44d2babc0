"""Limits and fair shares, with the active jobs that count towards them."""
