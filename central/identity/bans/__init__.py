"""Bans of persons: the record, the list that each process keeps, the service and its routes."""
