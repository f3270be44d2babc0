"""Tells people by mail or webhook how their submissions and productions go."""
