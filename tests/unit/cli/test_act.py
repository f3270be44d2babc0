"""What is said of an action on many jobs."""

import pytest

from pilotage.central.cli.jobs.actions import report
from pilotage.proto.api.jobs import ActionName, ActionRefusal, ActionReply
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
    assert (said.out, said.err) == ("kill: 9 done\n", "pilotage: 21 had ended meanwhile\n")
    assert report(ActionName.KILL, reply).print(json=False) == 3
    assert "and 16 more were refused" in capsys.readouterr().err
