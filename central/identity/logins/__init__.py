"""Logins through identity providers, and the sessions that they open."""
