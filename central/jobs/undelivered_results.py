"""Results that pilots cannot deliver, as reported by their heartbeats. Pure."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from pilotage.proto.messages import Undelivered

from .leases import Lease, LeasePhase, LeaseTable

OVER_WALL_S: Final = 900.0  # tolerance after the wall limit, since a payload may have been frozen
LOG_AFTER_S: Final = 30.0  # a result that waits longer is logged once


class LateResult(NamedTuple):
    """A result that waits on its node."""

    lease: Lease
    for_s: float  # since its payload ended
    why: str  # the reason of the last failed attempt to deliver; empty if none has failed


class LateResults:
    """The undelivered results, from the last heartbeat of each pilot."""

    def __init__(self, leases: LeaseTable) -> None:
        self._leases = leases
        self._said: dict[str, tuple[float, tuple[Undelivered, ...]]] = {}
        self._logged: set[tuple[int, int]] = set()

    def heard(self, pilot: str, said: tuple[Undelivered, ...], now: float) -> list[LateResult]:
        """Note the results in a heartbeat; return those to log now."""
        if not said:
            if self._said:  # rarely
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
        """Return the undelivered result of a job's attempt, or None."""
        lease = self._leases.of_job(job)
        if lease is None:
            return None
        return next((one for one in self._of(lease.pilot, now) if one.lease is lease), None)

    def failing(self, now: float) -> list[LateResult]:
        """Return all results whose delivery has failed at least once."""
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
    """Return whether a live attempt should have ended long ago. `wall` is the wall clock.

    Its pilot still sends heartbeats, otherwise its lease would be over. Pilots of release 0.1 do
    not report undelivered results, so this is the only sign of them.
    """
    return (
        lease.started_at is not None and wall - lease.started_at > lease.grant.wall_s + OVER_WALL_S
    )


def _name(late: LateResult) -> tuple[int, int]:
    return late.lease.job, late.lease.epoch
