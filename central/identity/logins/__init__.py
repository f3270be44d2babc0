"""Logins through identity providers, from their begin to the session that they open."""
