"""Backup, restore and copy of an installation."""
