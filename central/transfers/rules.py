"""Decides which copies a rule still needs: available, in transfer, wanted or stuck. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pilotage.proto.catalogue import ReplicaState, RuleState

from .record import RuleProgress, TransferRow

FAILURES_MAX: Final = 5  # after this number of failures, a transfer is stuck


@dataclass(frozen=True)
class CopyPlan:
    """The copies of one file: available, in transfer, to order now, to order later, and stuck."""

    there: int
    moving: int
    ready: tuple[str, ...]  # storages for copies to order now, in the rule's order
    later: int
    stuck: int


def judge(
    copies: int,
    storages: Sequence[str],
    replicas: Mapping[str, ReplicaState],
    transfers: Mapping[str, TransferRow],
    now: float,
) -> CopyPlan:
    """Return the copies of a file that a rule still needs.

    `replicas` and `transfers` are by storage; `now` is the wall clock.
    """
    good = [one for one in storages if replicas.get(one) is ReplicaState.AVAILABLE]
    moving = [
        one for one in storages if one not in good and one in transfers and transfers[one].is_open
    ]
    lacking = max(0, copies - len(good) - len(moving))
    if not lacking:
        return CopyPlan(min(len(good), copies), len(moving), (), 0, 0)
    if ReplicaState.AVAILABLE not in replicas.values():  # no copy can be the source
        return CopyPlan(0, len(moving), (), 0, lacking)
    ready: list[str] = []
    later = 0
    for one in storages:
        if one in good or one in moving:
            continue
        failed = transfers.get(one)
        if failed is None or (failed.failures < FAILURES_MAX and failed.not_before <= now):
            ready.append(one)
        elif failed.failures < FAILURES_MAX:
            later += 1
    chosen = tuple(ready[:lacking])
    rest = lacking - len(chosen)
    waiting = min(rest, later)
    return CopyPlan(len(good), len(moving), chosen, waiting, rest - waiting)


@dataclass
class RuleCount:
    """The copies of all files of a rule, added up file by file."""

    files: int = 0
    there: int = 0
    moving: int = 0
    wanted: int = 0
    stuck: int = 0

    def add(self, verdict: CopyPlan) -> None:
        self.files += 1
        self.there += verdict.there
        self.moving += verdict.moving
        self.wanted += len(verdict.ready) + verdict.later
        self.stuck += verdict.stuck

    def tally(self, ordered: int) -> RuleProgress:
        """Return the progress after `ordered` of the wanted copies were ordered."""
        return RuleProgress(
            files=self.files,
            there=self.there,
            moving=self.moving + ordered,
            wanted=self.wanted - ordered,
            stuck=self.stuck,
        )

    @property
    def state(self) -> RuleState:
        if self.stuck:
            return RuleState.STUCK
        return RuleState.REPLICATING if self.moving or self.wanted else RuleState.OK
