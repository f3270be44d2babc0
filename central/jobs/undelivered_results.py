"""Results that pilots cannot deliver, as their heartbeats say. Pure."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from pilotage.proto.messages import Undelivered

from .leases import Lease, LeasePhase, LeaseTable

OVER_WALL_S: Final = 900.0  # after its wall limit; a payload may have stood still for a while
LOG_AFTER_S: Final = 30.0  # a result that waits for so long is logged, once


class LateResult(NamedTuple):
    """A result that waits on its node."""

    lease: Lease
    for_s: float  # since its payload ended
    why: str  # what the last failed try said; empty: none has failed


class LateResults:
    """What the last heartbeat of each pilot says of results that have not arrived."""

    def __init__(self, leases: LeaseTable) -> None:
        self._leases = leases
        self._said: dict[str, tuple[float, tuple[Undelivered, ...]]] = {}
        self._logged: set[tuple[int, int]] = set()

    def heard(self, pilot: str, said: tuple[Undelivered, ...], now: float) -> list[LateResult]:
        """Take note of a heartbeat; return the results that are to be logged."""
        if not said:
            if self._said:  # nearly never
                self._said.pop(pilot, None)
            return []
        self._said[pilot] = now, said
        new = [
            late
            for late in self._of(pilot, now)
            if late.why and late.for_s >= LOG_AFTER_S and _name(late) not in self._logged
        ]
        self._logged.update(map(_name, new))
        return new

    def of_job(self, job: int, now: float) -> LateResult | None:
        """Return what is known of the result of a job's attempt."""
        lease = self._leases.of_job(job)
        if lease is None:
            return None
        return next((one for one in self._of(lease.pilot, now) if one.lease is lease), None)

    def failing(self, now: float) -> list[LateResult]:
        """Return all results of which a try has failed."""
        for pilot in [one for one in self._said if not self._leases.holds(one)]:
            del self._said[pilot]
        found = [late for pilot in self._said for late in self._of(pilot, now) if late.why]
        self._logged &= set(map(_name, found))
        return found

    def _of(self, pilot: str, now: float) -> Iterator[LateResult]:
        at, said = self._said.get(pilot, (now, ()))
        for one in said:
            lease = self._leases.find(one.job, one.epoch)
            if lease is not None and lease.pilot == pilot and lease.phase is LeasePhase.LIVE:
                yield LateResult(lease, one.for_s + now - at, one.why)


def is_over_wall(lease: Lease, wall: float) -> bool:
    """Return whether a live attempt should have ended long ago. `wall`: now, by the wall clock.

    Its pilot beats, or its lease would be over. A pilot of release 0.1 does not say that it cannot
    deliver a result: this is all that shows it.
    """
    return (
        lease.started_at is not None and wall - lease.started_at > lease.grant.wall_s + OVER_WALL_S
    )


def _name(late: LateResult) -> tuple[int, int]:
    return late.lease.job, late.lease.epoch
