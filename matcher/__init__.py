"""Which job for which offer. Pure: no I/O, no clock, no randomness of its own."""

from .matcher import Matcher

__all__ = ["Matcher"]
