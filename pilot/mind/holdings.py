"""The held attempts, the phase of each, and their fences (PROTOCOL P2). Pure."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Optional

from pilotage.proto.messages import Assignment, Attempt, Body, How, Undelivered
from pilotage.proto.storages import BadCopy

from ..ports import Ended

FENCE = 0.8  # of the lease: when a payload is frozen
UNDELIVERED_S = 30.0  # a slower result is reported, even if no try has failed
FENCE_LEFT_MIN = 0.3  # of the lease: with less time to its fence, nothing is started


class AttemptPhase(enum.Enum):
    """The phase of a held attempt on this node."""

    STAGING = "staging"
    STARTING = "starting"  # the guard was ordered to start it
    RUNNING = "running"
    COLLECTING = "collecting"  # the payload has ended, its output is being uploaded
    ENDED = "ended"  # its last report is not answered yet


def wants_staging(assignment: Assignment) -> bool:
    """Return whether something must be fetched or found before a payload starts."""
    body, data = assignment.body, assignment.data
    has_data = data is not None and bool(data.inputs)
    return bool(body.inputs or wants_outfit(body) or body.tokens or has_data)


def leaves_data(assignment: Assignment) -> bool:
    """Return whether the payload's outputs go to storages."""
    data = assignment.data
    return data is not None and bool(data.outputs or data.removals)


def wants_outfit(body: Body) -> bool:
    """Return whether a payload needs more than its node's files and its inputs."""
    return bool(body.image or body.software or body.modules)


@dataclass
class HeldAttempt:
    """One attempt from its assignment until the central has answered its `ended`."""

    attempt: Attempt
    attempt_id: int
    lease_s: float
    fence: float
    phase: AttemptPhase
    assignment: Optional[Assignment] = None  # None: only the last report is left, from the journal
    stopping: Optional[How] = None  # why the pilot ends it, for the report
    said: str = ""  # details of that
    gone: Optional[Ended] = None  # the guard's report of the end
    stale: bool = False  # the central disowned it: not listed any more
    isolation: str = ""  # the rung of its image; empty: that of the pilot
    image: str = ""  # the image that it runs in, as found on this node
    for_good: bool = False  # killed by a person: no other attempt continues it
    warned: str = ""  # what its payload was warned of, until that is reported
    notes: tuple[str, ...] = ()  # about its tokens, for its history, until that is answered
    noting: int = 0  # how many of them the report on its way carries
    bad_copies: tuple[BadCopy, ...] = ()  # of its data
    ended_at: Optional[float] = None  # since when its result waits for delivery
    undelivered: str = ""  # the error of the last failed try

    @property
    def alive(self) -> bool:
        """Whether a payload may exist."""
        return self.phase in (AttemptPhase.STARTING, AttemptPhase.RUNNING)


class HeldAttempts:
    """All attempts of this pilot, by (job, epoch) and by the central's number."""

    def __init__(self) -> None:
        self._by_attempt: dict[Attempt, HeldAttempt] = {}
        self._by_id: dict[int, HeldAttempt] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def all(self) -> tuple[HeldAttempt, ...]:
        return tuple(self._by_id.values())

    def add(self, holding: HeldAttempt) -> None:
        self._by_attempt[holding.attempt] = holding
        self._by_id[holding.attempt_id] = holding

    def remove(self, holding: HeldAttempt) -> None:
        del self._by_attempt[holding.attempt]
        del self._by_id[holding.attempt_id]

    def of(self, attempt: Attempt) -> Optional[HeldAttempt]:
        return self._by_attempt.get(attempt)

    def by_id(self, attempt_id: int) -> Optional[HeldAttempt]:
        return self._by_id.get(attempt_id)

    def listed(self) -> tuple[Attempt, ...]:
        """Return the held attempts for heartbeats and asks."""
        return tuple(one.attempt for one in self._by_id.values() if not one.stale)

    def undelivered(self, now: float) -> tuple[Undelivered, ...]:
        """Return the undelivered results for heartbeats."""
        return tuple(
            Undelivered(
                one.attempt.job, one.attempt.epoch, max(0.0, now - one.ended_at), one.undelivered
            )
            for one in self._by_id.values()
            if one.ended_at is not None
            and not one.stale
            and (one.undelivered or now - one.ended_at >= UNDELIVERED_S)
        )

    def lease_s(self, most: float) -> float:
        """Return the shortest lease of the held attempts, at most `most`."""
        return min([most, *(one.lease_s for one in self._by_id.values())])

    def renew(
        self, listed: Iterable[Attempt], stale: frozenset[Attempt], sent: float
    ) -> list[HeldAttempt]:
        """Move the fences of the attempts in an answered heartbeat; return those that moved."""
        moved: list[HeldAttempt] = []
        for attempt in listed:
            holding = self._by_attempt.get(attempt)
            if holding is None or attempt in stale or holding.stale:
                continue
            fence = sent + FENCE * holding.lease_s
            if fence > holding.fence:
                holding.fence = fence
                moved.append(holding)
        return moved
