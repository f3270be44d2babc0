"""Workflows: forms in which people write them, checks, plans, drawings, runs on one machine."""

from . import builders as production

__all__ = ["production"]
