"""What is said of an action on many jobs."""

from typing import Any

import pytest

from pilotage.central.cli.jobs.actions import question, report
from pilotage.central.cli.jobs.selection import shown
from pilotage.central.client.waiting.job_ends import UNFINISHED
from pilotage.proto.api.jobs import ActionName, ActionRefusal, ActionReply, JobFilter
from pilotage.proto.job_states import FINAL, JobState
from pilotage.proto.problems import Code


def test_jobs_that_ended_while_a_filter_was_read_are_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    gone = [
        ActionRefusal(id=n, code=Code.ILLEGAL_STATE.value, message=f"job {n}: it is Done")
        for n in range(21)
    ]
    reply = ActionReply(done=9, unchanged=0, refused=gone)

    assert report(ActionName.KILL, reply, by_filter=True).print(json=False) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("kill: 9 done\n", "pilotage: 21 jobs ended before the action\n")
    assert report(ActionName.KILL, reply).print(json=False) == 3
    assert "and 16 more were refused" in capsys.readouterr().err


def test_a_question_names_the_jobs_in_few_words() -> None:
    def asked(count: int, **clauses: Any) -> str:
        return question(ActionName.KILL, count, JobFilter(**clauses))

    assert asked(2, name="big", states=(JobState.WAITING,)) == (
        "Kill 2 matching jobs (name=big, state Waiting)?"
    )
    assert asked(1_234, owner="me", states=UNFINISHED) == (
        "Kill 1 234 matching jobs (owner=me, unfinished)?"
    )
    assert asked(2, states=(JobState.HELD, JobState.WAITING)).endswith("(state Held or Waiting)?")
    assert shown(JobFilter(states=tuple(FINAL))) == "ended"
    assert shown(JobFilter()) == "any state"
