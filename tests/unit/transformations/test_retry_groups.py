"""What is tried again: now, later, in halves or as a whole; and that the rules are asked once."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest

from pilotage.central.transformations.grouping import WaitingInput, key_of
from pilotage.central.transformations.live_state import NEVER, LiveTransformation, live
from pilotage.central.transformations.record import TaskEnd, TransformationRow
from pilotage.central.transformations.repairs import Repair, RepairBounds, RetryGroup
from pilotage.central.transformations.retry_groups import ASKED_MAX, RetryAdviser, RetryPlan
from pilotage.proto.transformation_states import TransformationState
from tests.fake_central import FakeClock

EVENTS = {"query": {"level": 0}}


class Said:
    """Rules that say what a test wants of each task's first file."""

    def __init__(self, plans: dict[int, list[RetryGroup]] | None = None) -> None:
        self.plans, self.asked = plans, 0
        self.bounds: RepairBounds | None = None

    async def again(
        self, transformation_id: int, file_ids: Sequence[int], bounds: RepairBounds
    ) -> list[RetryGroup]:
        self.asked += 1
        self.bounds = bounds
        if self.plans is None:
            return [RetryGroup(tuple(file_ids))]
        return self.plans[file_ids[0]]

    async def verdicts(
        self, ends: Sequence[TaskEnd], bounds: Mapping[int, RepairBounds]
    ) -> dict[int, Repair]:
        return {}


def a_live(tasks: dict[int, int], **fields: Any) -> LiveTransformation:
    """Return a transformation of which files wait: each with the task that had it."""
    document = {
        "name": "t",
        "job": {"command": ["run"]},
        "inputs": [EVENTS],
        "failover": True,
        **fields,
    }
    row = TransformationRow(
        transformation_id=5,
        community="ctao",
        group="dpps",
        owner_id=1,
        name="t",
        state=TransformationState.ACTIVE,
        reason="",
        doc=msgspec.json.encode(document),
        parent_id=None,
        tasks_wanted=0,
        tasks_made=0,
        scouts_until=0,
        scouted=b"",
        closing=False,
        flushing=False,
        seeded=True,
        seed_place="",
        made_at=0.0,
        changed_at=0.0,
        judged_from=0.0,
    )
    made = live(row)
    files = [
        WaitingInput(file, 0, f"a:f{file}", 1, {}, (), 0.0, task) for file, task in tasks.items()
    ]
    made.pool = {file.key: file for file in files}
    return made


def ids(trial: RetryPlan) -> list[tuple[int, ...]]:
    return [tuple(one.file_id for one in group) for group in trial.groups]


async def test_what_failed_together_goes_together_and_new_files_are_not_touched() -> None:
    said = Said()
    one = a_live({1: 7, 2: 7, 3: 8, 4: 0})
    retrying = RetryAdviser(said, FakeClock())

    trial = await retrying.trial(one)
    again = await retrying.trial(one)

    assert ids(trial) == ids(again) == [(1, 2), (3,)]
    assert {file.file_id for file in trial.held} == {1, 2, 3}
    assert (trial.due, said.asked) == (NEVER, 2), "what the rules say of a task does not change"


async def test_halves_go_now_and_what_has_to_wait_is_held() -> None:
    clock = FakeClock()
    late = clock.wall() + 60
    said = Said({1: [RetryGroup((1,)), RetryGroup((2, 3))], 4: [RetryGroup((4,), after=late)]})

    trial = await RetryAdviser(said, clock).trial(a_live({1: 7, 2: 7, 3: 7, 4: 8}))

    assert ids(trial) == [(1,), (2, 3)]
    assert {file.file_id for file in trial.held} == {1, 2, 3, 4}
    assert trial.due == late


async def test_what_failed_of_nothing_is_as_new() -> None:
    said = Said({1: []})
    one = a_live({1: 7})

    trial = await RetryAdviser(said, FakeClock()).trial(one)

    assert (trial.groups, trial.held) == ([], set())
    assert one.pool is not None and one.pool[key_of(1, 0)].task_id == 0


@pytest.mark.parametrize(
    ("fields", "can_be_split"),
    [
        ({}, True),
        ({"grouping": {"rule": "all"}}, False),
        ({"inputs": [EVENTS, {**EVENTS, "use": "shared"}]}, True),
        ({"inputs": [EVENTS, EVENTS], "grouping": {"rule": "join"}}, False),
    ],
)
async def test_rules_are_told_whether_a_part_of_a_group_means_the_same(
    fields: dict[str, Any], can_be_split: bool
) -> None:
    said = Said()

    await RetryAdviser(said, FakeClock()).trial(a_live({1: 7, 2: 7}, errors_max=4, **fields))

    assert said.bounds == RepairBounds(can_be_split=can_be_split, errors_max=4)


async def test_a_pass_looks_at_some_and_the_next_ones_at_the_others() -> None:
    said = Said()
    many = a_live({file: 1_000 + file for file in range(1, ASKED_MAX + 21)})
    retrying = RetryAdviser(said, clock := FakeClock())

    first = await retrying.trial(many)
    second = await retrying.trial(many)

    assert (len(first.groups), len(first.held), first.due) == (
        ASKED_MAX,
        len(many.pool or ()),
        clock.wall(),
    )
    assert (len(second.groups), said.asked) == (ASKED_MAX + 20, ASKED_MAX + 20)


async def test_those_that_do_not_ask_for_it_are_not_looked_at() -> None:
    said = Said()

    trial = await RetryAdviser(said, FakeClock()).trial(a_live({1: 7}, failover=False))

    assert (trial.groups, trial.held, said.asked) == ([], set(), 0)
