"""What an action does to a job, by where it stands."""

import pytest

from pilotage.central.jobs.definition.need_changes import NeedChange
from pilotage.central.jobs.intents import Unchanged, intent, intent_of
from pilotage.central.jobs.record_types import AttemptWant, JobMove
from pilotage.proto.api.jobs import Action, ActionName
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


#  state       live   set        retry
CHANGES = """
   Waiting     -      Waiting    unchanged
   Held        -      Held       Waiting
   Matched     live   refused    refused
   Running     live   refused    refused
   Completing  -      refused    refused
   Done        -      refused    refused
   Failed      -      refused    Waiting
   Killed      -      refused    refused
"""


@pytest.mark.parametrize("line", CHANGES.strip().splitlines())
def test_needs_change_only_while_a_job_waits_is_held_or_runs_again(line: str) -> None:
    state, live, *expected = line.split()
    job = a_standing(state=JobState(state), live=live == "live")
    change = NeedChange({"memory_mb": 8}, {})

    def done(name: ActionName) -> str:
        action = Action(action=name, priority=7)
        try:
            what = intent_of(action, job, change, at=1.0, who="maria")
        except IllegalTransition:
            return "refused"
        if isinstance(what, Unchanged):
            return "unchanged"
        assert isinstance(what, JobMove)
        assert (what.priority, what.detail) == (7, "memory_mb=8, priority=7")
        return what.new.value

    assert [done(ActionName.SET), done(ActionName.RETRY)] == expected


def test_a_priority_that_a_job_has_already_changes_nothing() -> None:
    nothing = NeedChange({}, {})
    same, other = (Action(action=ActionName.SET, priority=one) for one in (5, 6))

    assert isinstance(intent_of(same, a_standing(), nothing, at=1.0, who="maria"), Unchanged)
    assert isinstance(intent_of(other, a_standing(), nothing, at=1.0, who="maria"), JobMove)
