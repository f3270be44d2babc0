"""Explanations of why a job waits and why an offer gets no job."""
