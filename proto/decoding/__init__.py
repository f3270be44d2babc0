"""Checks of documents from outside: patterns, nesting, YAML, and words for what is wrong."""
