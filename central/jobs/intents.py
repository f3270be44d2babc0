"""Decides what a user's action changes in a job, by the job's state. Pure.

For a job with an active attempt, the action only sets `wanted` (PROTOCOL C8). The job moves when
the pilot reports the end, or when the lease is over. Other jobs move at once, by the table of job
states.
"""

from dataclasses import dataclass

import msgspec

from pilotage.proto.api.jobs import Action, ActionName
from pilotage.proto.job_states import ACTIVE, FINAL, JobEvent, JobState, next_state
from pilotage.proto.messages import Why
from pilotage.proto.state_machine import IllegalTransition

from .definition.need_changes import NeedChange
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
# The states in which the action has nothing to do.
_DONE_ALREADY = {
    ActionName.KILL: frozenset({JobState.KILLED}),
    ActionName.HOLD: frozenset({JobState.HELD}),
    ActionName.RELEASE: frozenset({JobState.WAITING}),
    ActionName.RESCHEDULE: frozenset({JobState.WAITING}),
}
_CHANGEABLE = frozenset({JobState.WAITING, JobState.HELD})
_RETRIED = frozenset({JobState.FAILED, JobState.HELD})
# The states in which a result of this round counts already.
_RESULT_COUNTED = FINAL | {JobState.COMPLETING}


@dataclass(frozen=True)
class Unchanged:
    """The job already has the state that the action wants."""


def intent_of(
    action: Action, job: JobStanding, change: NeedChange, *, at: float, who: str
) -> JobMove | AttemptWant | Unchanged:
    """Return the change to write for an action, without the classes of changed needs.

    Raises IllegalTransition if the state of the job forbids the action.
    """
    if action.action not in (ActionName.SET, ActionName.RETRY):
        return intent(action.action, job, at=at, who=who, reason=action.reason)
    words = [action.reason, str(change)]
    words += [f"priority={action.priority}"] if action.priority is not None else []
    detail = ", ".join(filter(None, words))
    if action.action is ActionName.SET:
        if job.live or job.state not in _CHANGEABLE:
            raise IllegalTransition("job", job.state.value, "changed")
        if not change and action.priority == job.priority:
            return Unchanged()
        return JobMove(
            job_id=job.job_id,
            old=job.state,
            new=job.state,
            at=at,
            event="set",
            who=who,
            close=False,
            priority=action.priority,
            detail=detail,
        )
    if job.state not in _RETRIED and job.state not in _DONE_ALREADY[ActionName.RESCHEDULE]:
        raise IllegalTransition("job", job.state.value, "retried")
    move = intent(ActionName.RESCHEDULE, job, at=at, who=who, reason=action.reason)
    if isinstance(move, JobMove):
        return msgspec.structs.replace(move, priority=action.priority, detail=detail)
    return move


def intent(
    action: ActionName, job: JobStanding, *, at: float, who: str, reason: str
) -> JobMove | AttemptWant | Unchanged:
    """Return the change to write. Raises IllegalTransition if the state forbids the action."""
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
        new_round=event is JobEvent.RESCHEDULED and job.state in _RESULT_COUNTED,
    )


def _of_active(
    action: ActionName, job: JobStanding, *, at: float, who: str, reason: str
) -> AttemptWant | Unchanged:
    assert job.attempt_id is not None and job.state in ACTIVE
    next_state(job.state, _EVENTS[action])  # raises if the table forbids it
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
