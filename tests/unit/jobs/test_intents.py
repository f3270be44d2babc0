"""What an action does to a job, by where it stands."""

import pytest

from pilotage.central.jobs.intents import Unchanged, intent
from pilotage.central.jobs.record_types import AttemptWant, JobMove
from pilotage.proto.api.jobs import ActionName
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import Why
from pilotage.proto.state_machine import IllegalTransition
from tests.builders import a_standing

#  state       wanted      kill       hold       release    reschedule
TABLE = """
   Waiting     -           Killed     Held       unchanged  unchanged
   Held        -           Killed     unchanged  Waiting    Waiting
   Matched     -           kill       hold       refused    reschedule
   Running     -           kill       hold       refused    reschedule
   Running     hold        kill       unchanged  refused    reschedule
   Running     kill        unchanged  unchanged  refused    unchanged
   Completing  -           Killed     refused    refused    Waiting
   Done        -           refused    refused    refused    Waiting
   Failed      -           refused    refused    refused    Waiting
   Killed      -           unchanged  refused    refused    Waiting
"""
ACTIONS = (ActionName.KILL, ActionName.HOLD, ActionName.RELEASE, ActionName.RESCHEDULE)


def outcome(action: ActionName, state: JobState, wanted: Why | None) -> str:
    live = state in (JobState.MATCHED, JobState.RUNNING)
    job = a_standing(state=state, live=live, wanted=wanted)
    try:
        what = intent(action, job, at=1.0, who="maria", reason="")
    except IllegalTransition:
        return "refused"
    match what:
        case JobMove():
            return what.new.value
        case AttemptWant():
            return what.wanted.value
        case Unchanged():
            return "unchanged"


@pytest.mark.parametrize("line", TABLE.strip().splitlines())
def test_an_action_does_what_the_table_says(line: str) -> None:
    state, wanted, *expected = line.split()
    why = None if wanted == "-" else Why(wanted)

    assert [outcome(action, JobState(state), why) for action in ACTIONS] == expected


@pytest.mark.parametrize(
    ("action", "state", "is_new"),
    [
        (ActionName.RESCHEDULE, JobState.DONE, True),
        (ActionName.RESCHEDULE, JobState.COMPLETING, True),
        (ActionName.RESCHEDULE, JobState.HELD, False),
        (ActionName.KILL, JobState.COMPLETING, False),
    ],
)
def test_a_reschedule_after_a_result_opens_a_new_round_and_others_do_not(
    action: ActionName, state: JobState, is_new: bool
) -> None:
    what = intent(action, a_standing(state=state), at=1.0, who="maria", reason="")

    assert isinstance(what, JobMove) and what.close
    assert what.new_round is is_new
