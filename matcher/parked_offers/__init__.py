"""Parked offers: pilots that wait for a job, and the jobs that wake them."""
