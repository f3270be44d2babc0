"""Reservations of offers for wide jobs that have waited long."""
