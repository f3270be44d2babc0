"""Submissions: checked, stored and put into the queue."""
