"""Logins through identity providers, until a session opens."""
