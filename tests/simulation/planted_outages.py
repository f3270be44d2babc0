"""Bugs of long outages, to be found in worlds in which something is away for hours."""

from . import guard
from .planted import PLANTED, Changes, Planted

BRIEFLY_S, FOR_EVER_S = 1_800.0, 1e9


def _killed_early(changes: Changes) -> None:
    changes.set(guard, "FROZEN_MAX_S", BRIEFLY_S)


def _frozen_for_ever(changes: Changes) -> None:
    changes.set(guard, "FROZEN_MAX_S", FOR_EVER_S)


AWAY: dict[str, Planted] = {
    "killed_early": Planted("a frozen payload is killed after half an hour", _killed_early),
    "frozen_for_ever": Planted("a frozen payload is never killed", _frozen_for_ever),
}
WITH_OUTAGES: dict[str, Planted] = {"old_deadline": PLANTED["old_deadline"], **AWAY}
