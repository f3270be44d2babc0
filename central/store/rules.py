"""Rules that keep copies of files, and the transfers that carry them out, as a store keeps them."""

from typing import Any, Final

import msgspec

from pilotage.proto.catalogue import RuleState
from pilotage.proto.problems import Code

from ..errors import Refused
from .errors import StoreError
from .records import Owner

RULES_MAX: Final = 1_000  # of a community
KEY_LENGTH: Final = 201  # of the central's own submissions: one more than people's keys may have
PAUSE_FIRST_S: Final = 60.0
PAUSE_MAX_S: Final = 6 * 3_600.0


def pause_s(failures: int) -> float:
    """Return how long to wait after so many failures: 1 min, 4 min, 16 min, …"""
    return min(PAUSE_FIRST_S * float(4 ** min(failures - 1, 10)), PAUSE_MAX_S)


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    pass


class TooManyRules(Refused, StoreError):
    """A community has as many rules as it may have. Drop some."""

    def __init__(self) -> None:
        message = f"there are {RULES_MAX} rules already, and there cannot be more: drop some"
        super().__init__(Code.TOO_MANY, message)


class NewRule(_Record, frozen=True):
    """So many copies, on these storages, of one file, of a dataset, or of what meets a query."""

    community: str
    owner: Owner
    group: str  # for which its jobs run
    did: str  # empty: by query
    query: dict[str, Any]
    copies: int
    storages: tuple[str, ...]  # the first ones are taken first


class Tally(_Record, frozen=True):
    """How far a rule is."""

    files: int = 0
    there: int = 0  # copies
    moving: int = 0
    wanted: int = 0
    stuck: int = 0


def anew(tally: Tally) -> Tally:
    """Return how far a rule is whose stuck copies are wanted again: so it is looked at soon."""
    return msgspec.structs.replace(tally, wanted=tally.wanted + max(1, tally.stuck), stuck=0)


class RuleRow(_Record, frozen=True):
    """A rule, and how far it was when it was looked at last."""

    rule_id: int
    rule: NewRule
    made_at: float
    state: RuleState = RuleState.REPLICATING
    tally: Tally = Tally()
    why: str = ""  # of the last failure


class TransferRow(_Record, frozen=True):
    """A copy that is being made, or could not be."""

    transfer_id: int
    rule_id: int
    file_id: int
    storage: str
    is_open: bool  # it is ordered; the job may have to be submitted yet
    job_id: int | None = None
    failures: int = 0
    not_before: float = 0.0  # wall clock
    why: str = ""
