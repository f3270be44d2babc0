"""Workflows: their forms, checks, plans, drawings, and runs on one machine."""

from . import builders as production

__all__ = ["production"]
