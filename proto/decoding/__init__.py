"""Checks of documents from outside: patterns, nesting, YAML, and messages about mistakes."""
