"""Rucio servers as a process reaches them: their files, credentials and connections."""
