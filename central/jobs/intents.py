"""What a person's action means for a job, by where it stands. Pure.

An active attempt is only told what is wanted (PROTOCOL C8): the job moves when the pilot reports
the end or the lease is over. Everything else moves at once along the table of job states.
"""

from dataclasses import dataclass

from pilotage.proto.api.jobs import ActionName
from pilotage.proto.job_states import ACTIVE, FINAL, JobEvent, JobState, next_state
from pilotage.proto.messages import Why

from .record_types import AttemptWant, JobMove, JobStanding

_EVENTS = {
    ActionName.KILL: JobEvent.KILLED,
    ActionName.HOLD: JobEvent.HELD,
    ActionName.RELEASE: JobEvent.RELEASED,
    ActionName.RESCHEDULE: JobEvent.RESCHEDULED,
}
_WANTED = {
    ActionName.KILL: Why.KILL,
    ActionName.HOLD: Why.HOLD,
    ActionName.RESCHEDULE: Why.RESCHEDULE,
}
# Where the action finds its work done already.
_DONE_ALREADY = {
    ActionName.KILL: frozenset({JobState.KILLED}),
    ActionName.HOLD: frozenset({JobState.HELD}),
    ActionName.RELEASE: frozenset({JobState.WAITING}),
    ActionName.RESCHEDULE: frozenset({JobState.WAITING}),
}


@dataclass(frozen=True)
class Unchanged:
    """The job is already as the action wants it."""


def intent(
    action: ActionName, job: JobStanding, *, at: float, who: str, reason: str
) -> JobMove | AttemptWant | Unchanged:
    """Return what to write. Raises IllegalTransition where the state does not allow the action."""
    if job.live:
        return _of_active(action, job, at=at, who=who, reason=reason)
    if job.state in _DONE_ALREADY[action]:
        return Unchanged()
    event = _EVENTS[action]
    new = next_state(job.state, event)
    return JobMove(
        job_id=job.job_id,
        old=job.state,
        new=new,
        at=at,
        event=event.value,
        who=who,
        reason=reason,
        close=True,
        new_round=job.state in FINAL,
    )


def _of_active(
    action: ActionName, job: JobStanding, *, at: float, who: str, reason: str
) -> AttemptWant | Unchanged:
    assert job.attempt_id is not None and job.state in ACTIVE
    next_state(job.state, _EVENTS[action])  # refuses what the table does not know
    wanted = _WANTED[action]
    if job.wanted is wanted or job.wanted is Why.KILL:
        return Unchanged()
    return AttemptWant(
        attempt_id=job.attempt_id,
        job_id=job.job_id,
        wanted=wanted,
        at=at,
        who=who,
        reason=reason,
    )
