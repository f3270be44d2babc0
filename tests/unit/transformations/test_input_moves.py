"""From the end of a job to the states of what its task had: DIRAC's rules, as a table."""

import pytest

from pilotage.central.transformations.input_moves import consequences, moves_of
from pilotage.central.transformations.record import EndInput, TaskEnd
from pilotage.proto.catalogue import FileState
from pilotage.proto.job_states import JobState
from pilotage.proto.transformation_states import InputEvent, InputState

# Two inputs of one task. `errors` of the first so far, of 3 that it may have; `bad` says what the
# job has found of the first; `heir`: its transformation has a derived one.
TABLE = """
# job     errors  bad        heir   task     first        counts  second
  Done    0       -          no     Done     Processed    no      Processed
  Done    2       -          yes    Done     Processed    no      Processed
  Failed  0       -          no     Failed   Unused       yes     Unused
  Failed  1       -          no     Failed   Unused       yes     Unused
  Failed  2       -          no     Failed   Stuck     yes     Unused
  Failed  7       -          no     Failed   Stuck     yes     Unused
  Killed  0       -          no     Killed   Unused       yes     Unused
  gone    0       -          no     Lost     Unused       yes     Unused
  Failed  0       BAD_DATA   no     Failed   Problematic  yes     Unused
  Failed  2       NOT_THERE  no     Failed   Missing      no      Unused
  Failed  0       -          yes    Failed   Moved        no      Unused
  Failed  0       BAD_DATA   yes    Failed   Problematic  yes     Unused
"""


@pytest.mark.parametrize("line", TABLE.strip().splitlines()[1:])
def test_what_follows_from_the_end_of_a_task(line: str) -> None:
    job, errors, bad, heir, task, first, counts, second = line.split()
    end = TaskEnd(
        task_id=5,
        transformation_id=1,
        number=2,
        job_id=9,
        state=None if job == "gone" else JobState(job),
        inputs=(
            EndInput(
                transformation_id=1, file_id=11, input_no=0, errors=int(errors),
                has_heir=heir == "yes",
            ),
            EndInput(transformation_id=1, file_id=12, input_no=0, errors=0, has_heir=False),
        ),
        reason="why",
    )  # fmt: skip
    found = {} if bad == "-" else {11: InputEvent[bad]}
    close = consequences(end, at=3.0, errors_max=lambda _: 3, bad=found)

    assert (close.task_id, close.state.value, close.reason, close.at) == (5, task, "why", 3.0)
    assert [one.new.value for one in close.inputs] == [first, second]
    assert close.inputs[0].error is (counts == "yes")
    assert close.inputs[1].error is (job != "Done" and not found), "companions are not at fault"
    assert {one.task_id for one in close.inputs} == {5}


FILES = """
# file       inputs that no task has
  Removed    Unused>Removed Stuck>Removed Problematic>Removed Missing>Removed Shared>Removed
  Lost       Unused>Problematic Stuck>Problematic
  Missing    Unused>Missing
  Available  Missing>Unused Removed>Unused
"""


@pytest.mark.parametrize("line", FILES.strip().splitlines()[1:])
def test_what_follows_from_the_state_of_a_file(line: str) -> None:
    state, *expected = line.split()

    found = moves_of(FileState(state), 1, 11, 0)

    assert sorted(f"{one.old.value}>{one.new.value}" for one in found) == sorted(expected)
    assert {(one.transformation_id, one.file_id, one.input_no) for one in found} == {(1, 11, 0)}


def test_a_side_input_that_is_registered_again_is_one_again() -> None:
    found = moves_of(FileState.AVAILABLE, 1, 11, 0, start=InputState.SHARED)

    assert [(one.old, one.new) for one in found] == [(InputState.REMOVED, InputState.SHARED)]
