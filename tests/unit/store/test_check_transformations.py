"""`doctor --store` finds what does not fit of transformations; of what is right it says nothing."""

import sqlite3
from pathlib import Path

import pytest

from pilotage.central.store import audit as check
from pilotage.central.store.engine import Store
from pilotage.central.store.sqlite import check as file_check, open_sqlite
from pilotage.central.transformations import record as transformation_records
from pilotage.proto.transformation_states import InputState
from tests.contract.store.test_transformations import (
    a_transformation,
    close,
    killed,
    made,
    with_inputs,
)

# what is done to a right store, and what is said of it
BROKEN = {
    "a count": (
        "UPDATE input_count SET files = 7 WHERE state = 'Unused'",
        "input 0 of transformation 1, Unused: says 7 files, the rows say 1",
    ),
    "how many tasks": (
        "UPDATE transformation SET tasks_made = 5",
        "transformation 1 says that it has made 5 tasks, the rows say 3",
    ),
    "a task that is gone": (
        "UPDATE input SET task_id = 99 WHERE file_id = 2",
        "file 2 is Assigned in transformation 1, and its task 99 is not there",
    ),
    "an end that nobody was told of": (
        "DELETE FROM task_end",
        "task 3 is Created, its job 3 is Killed, and nobody was told",
    ),
}


async def a_store(path: Path) -> None:
    store = await open_sqlite(path, clock_wall=lambda: 1.0, fatal=_never)
    await fill(store)
    await store.close()


async def fill(store: Store) -> None:
    """Make a store with an input in each of four places: a task is over, one runs, one ended."""
    row = await a_transformation(store)
    await with_inputs(store, row, [1, 2, 3, 4])
    tasks = await made(store, row, [[1], [2], [3]])
    await killed(store, tasks[0].job_id)
    (end,) = await store.read(transformation_records.task_ends, 9)
    assert await store.write(
        transformation_records.close_tasks, [close(end, InputState.PROCESSED)]
    ) == [True]
    await killed(store, tasks[2].job_id)


def _never(why: str) -> None:
    raise AssertionError(why)


def found(path: Path) -> list[str]:
    with file_check.reading(path) as session:
        return [line for _, lines in check.differences(session) for line in lines]


async def test_nothing_is_said_of_a_store_that_is_right(tmp_path: Path) -> None:
    await a_store(tmp_path / "store.db")

    assert found(tmp_path / "store.db") == []


@pytest.mark.parametrize("case", BROKEN)
async def test_what_does_not_fit_is_named(case: str, tmp_path: Path) -> None:
    statement, said = BROKEN[case]
    path = tmp_path / "store.db"
    await a_store(path)
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()

    assert found(path) == [said]
