"""Ends of tasks are written in pieces that others can wait for."""

import pytest

from pilotage.central.transformations import task_ends as ending
from pilotage.central.transformations.record import InputMove, TaskClose
from pilotage.proto.transformation_states import InputState, TaskState


def a_close(task: int, inputs: int) -> TaskClose:
    moves = [
        InputMove(
            transformation_id=1,
            file_id=n,
            input_no=0,
            old=InputState.ASSIGNED,
            new=InputState.PROCESSED,
        )
        for n in range(inputs)
    ]
    return TaskClose(task_id=task, state=TaskState.DONE, reason="", at=1.0, inputs=tuple(moves))


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], []),
        ([0, 0, 0], [[0, 1, 2]]),
        ([5, 5, 1], [[0, 1], [2]]),
        ([99, 1, 9, 1], [[0], [1, 2], [3]]),  # one that is larger goes alone
        ([1, 99], [[0], [1]]),
    ],
)
def test_tasks_are_closed_with_so_many_inputs_together(
    sizes: list[int], expected: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "TOGETHER", 10)
    closes = [a_close(task, size) for task, size in enumerate(sizes)]

    found = [[one.task_id for one in some] for some in ending.pieces(closes)]
    assert found == expected
