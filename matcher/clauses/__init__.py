"""Clauses: every way in which an offer can refuse a job, and sets of rows as bits."""
