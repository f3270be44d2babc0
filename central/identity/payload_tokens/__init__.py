"""Tokens of payloads: a job's owner lets it use a service in the owner's name."""
