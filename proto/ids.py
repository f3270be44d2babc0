"""Identifiers. Numbers come from counter rows of the store and are never reused."""

from typing import Final

ID_MAX: Final = 2**53 - 1  # the largest integer that every JSON reader keeps exact
