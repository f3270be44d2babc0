"""Logs people in: the flows, and the files that keep the logins."""
