"""Decides which notifications are due. Pure."""

from collections.abc import Mapping, Set as AbstractSet
from typing import Final

from pilotage.proto.api.notifications import NotifyEvent
from pilotage.proto.job_states import FINAL, JobState

from ..store.records import Record

E = NotifyEvent
HALF: Final = 0.5
REMOVED: Final = "removed"  # jobs that retention has removed
_ENDED: Final = frozenset({*(state.value for state in FINAL), REMOVED})


class Standing(Record, frozen=True, kw_only=True):
    """How far a submission or production is."""

    part: float  # from 0 to 1
    failed: bool  # something has failed for good
    is_over: bool
    counts: Mapping[str, int]  # jobs or tasks by state


def of_jobs(total: int, counts: Mapping[str, int]) -> Standing:
    """Return the standing of a submission of `total` jobs. `counts` are its jobs by state.

    A submission with Held jobs is over if no other jobs are left, because a person has to act.
    """
    found = {state: jobs for state, jobs in counts.items() if jobs}
    removed = total - sum(found.values())
    if removed > 0:
        found[REMOVED] = removed
    ended = sum(jobs for state, jobs in found.items() if state in _ENDED)
    held = found.get(JobState.HELD.value, 0)
    return Standing(
        part=ended / total if total else 0.0,
        failed=JobState.FAILED.value in found,
        is_over=0 < ended >= total - held,
        counts=found,
    )


def due(
    wanted: AbstractSet[NotifyEvent], standing: Standing
) -> tuple[list[NotifyEvent], frozenset[NotifyEvent]]:
    """Return the events to tell now, and those that may follow.

    The end includes the others: if it is wanted and has come, it is the only one.
    """
    if standing.is_over:
        return _at_the_end(wanted, standing), frozenset()
    now = {E.FAIL} if standing.failed else set[NotifyEvent]()
    if standing.part >= HALF:
        now.add(E.HALF)
    return [one for one in NotifyEvent if one in wanted & now], frozenset(wanted - now)


def _at_the_end(wanted: AbstractSet[NotifyEvent], standing: Standing) -> list[NotifyEvent]:
    if E.END in wanted:
        return [E.END]
    if E.FAIL in wanted and standing.failed:
        return [E.FAIL]
    return [E.HALF] if E.HALF in wanted else []
