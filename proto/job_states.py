"""The states of a job and every move between them. Only this table changes a state.

The drawing in `docs/job-states.md` is generated from this table. *Stalled* (a heartbeat is late,
but the lease still runs) and *deleted* are marks that are shown beside a state.
"""

import enum
from typing import Final

from .state_machine import IllegalTransition


class JobState(str, enum.Enum):
    """The state of a job. The names are those of the field."""

    WAITING = "Waiting"  # in the queue; an open attempt may still come back
    MATCHED = "Matched"  # an attempt holds a lease, the payload has not started
    RUNNING = "Running"
    COMPLETING = "Completing"  # ended well, outputs are still being published
    HELD = "Held"  # by a person, or because too many attempts were lost
    DONE = "Done"
    FAILED = "Failed"
    KILLED = "Killed"


class JobEvent(str, enum.Enum):
    """An event that can change the state of a job."""

    MATCHED = "matched"
    STARTED = "started"
    DECLINED = "declined"
    LOST = "lost"  # returned early, or the pilot found it dead
    LEASE_OVER = "lease_over"
    BEAT_OF_LAST_ATTEMPT = "beat_of_last_attempt"
    SUCCEEDED = "succeeded"
    PUBLISHING = "publishing"  # the payload succeeded, its outputs wait in the outbox
    PUBLISHED = "published"
    NOT_PUBLISHED = "not_published"  # an outside catalogue cannot take one of its outputs
    PAYLOAD_FAILED = "payload_failed"  # and no retry is left
    RETRY = "retry"  # the payload failed and a retry is left
    KILLED = "killed"  # the kill has taken effect
    HELD = "held"
    LOST_TOO_OFTEN = "lost_too_often"
    RELEASED = "released"
    RESCHEDULED = "rescheduled"
    QUEUE_TIME_OVER = "queue_time_over"


_S = JobState
_E = JobEvent

TRANSITIONS: Final[dict[tuple[JobState, JobEvent], JobState]] = {
    (_S.WAITING, _E.MATCHED): _S.MATCHED,
    # Cut off, requeued, and back before a new match
    (_S.WAITING, _E.BEAT_OF_LAST_ATTEMPT): _S.RUNNING,
    (_S.WAITING, _E.SUCCEEDED): _S.DONE,  # its open attempt finished while it was cut off
    (_S.WAITING, _E.PUBLISHING): _S.COMPLETING,
    (_S.WAITING, _E.PAYLOAD_FAILED): _S.FAILED,
    (_S.WAITING, _E.RETRY): _S.WAITING,
    (_S.WAITING, _E.HELD): _S.HELD,
    (_S.WAITING, _E.KILLED): _S.KILLED,
    (_S.WAITING, _E.RESCHEDULED): _S.WAITING,  # closes the attempt that may still come back
    (_S.WAITING, _E.QUEUE_TIME_OVER): _S.FAILED,
    (_S.MATCHED, _E.STARTED): _S.RUNNING,
    (_S.MATCHED, _E.DECLINED): _S.WAITING,
    (_S.MATCHED, _E.LOST): _S.WAITING,
    (_S.MATCHED, _E.LEASE_OVER): _S.WAITING,
    (_S.MATCHED, _E.SUCCEEDED): _S.DONE,  # `ended` implies `started`
    (_S.MATCHED, _E.PUBLISHING): _S.COMPLETING,
    (_S.MATCHED, _E.PAYLOAD_FAILED): _S.FAILED,
    (_S.MATCHED, _E.RETRY): _S.WAITING,
    (_S.MATCHED, _E.HELD): _S.HELD,
    (_S.MATCHED, _E.LOST_TOO_OFTEN): _S.HELD,
    (_S.MATCHED, _E.KILLED): _S.KILLED,
    (_S.MATCHED, _E.RESCHEDULED): _S.WAITING,
    (_S.RUNNING, _E.LOST): _S.WAITING,
    (_S.RUNNING, _E.LEASE_OVER): _S.WAITING,
    (_S.RUNNING, _E.SUCCEEDED): _S.DONE,
    (_S.RUNNING, _E.PUBLISHING): _S.COMPLETING,
    (_S.RUNNING, _E.PAYLOAD_FAILED): _S.FAILED,
    (_S.RUNNING, _E.RETRY): _S.WAITING,
    (_S.RUNNING, _E.HELD): _S.HELD,
    (_S.RUNNING, _E.LOST_TOO_OFTEN): _S.HELD,
    (_S.RUNNING, _E.KILLED): _S.KILLED,
    (_S.RUNNING, _E.RESCHEDULED): _S.WAITING,
    (_S.COMPLETING, _E.PUBLISHED): _S.DONE,
    (_S.COMPLETING, _E.NOT_PUBLISHED): _S.FAILED,
    (_S.COMPLETING, _E.KILLED): _S.KILLED,  # its outputs stay, and are still sent
    (_S.COMPLETING, _E.RESCHEDULED): _S.WAITING,
    (_S.HELD, _E.RELEASED): _S.WAITING,
    (_S.HELD, _E.RESCHEDULED): _S.WAITING,
    (_S.HELD, _E.KILLED): _S.KILLED,
    (_S.DONE, _E.RESCHEDULED): _S.WAITING,
    (_S.FAILED, _E.RESCHEDULED): _S.WAITING,
    (_S.KILLED, _E.RESCHEDULED): _S.WAITING,
}

START: Final = JobState.WAITING
FINAL: Final = frozenset({JobState.DONE, JobState.FAILED, JobState.KILLED})
ACTIVE: Final = frozenset({JobState.MATCHED, JobState.RUNNING})  # an attempt holds a lease


def next_state(state: JobState, event: JobEvent) -> JobState:
    """Return the state that `event` leads to, or raise IllegalTransition."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition("job", state.value, event.value) from None
