"""Which side inputs a group gets, and that many of them cost each group little."""

from typing import Any

import pytest

from pilotage.central.transformations import task_creation as making
from pilotage.central.transformations.grouping import GroupingSpec, WaitingInput, values
from pilotage.central.transformations.groupings import side_inputs
from pilotage.central.transformations.groupings.side_inputs import SideInputs
from pilotage.central.transformations.groupings.waiting_reasons import why_alone
from pilotage.proto.documents.transformation import Grouping, InputSpec

EVENTS = InputSpec(name="events", query={"a": 1})


def file(number: int, input_no: int, **metadata: Any) -> WaitingInput:
    return WaitingInput(number, input_no, f"a:{number}", 1, metadata, (), 0.0)


def shared(*on: str, count: int = 1) -> InputSpec:
    return InputSpec(name="x", query={"b": 1}, use="shared", on=on, count=count)


def test_a_group_gets_the_newest_that_agree_with_it() -> None:
    files = [file(4, 1, night=1), file(9, 1, night=2), file(3, 1, night=1), file(1, 1, night=1)]
    beside = SideInputs((EVENTS, shared("night", count=2)), files)

    assert beside.of((file(20, 0, night=1),)) == (files[2], files[0])
    assert beside.of((file(20, 0, night=2),)) is None  # one only
    assert beside.of((file(20, 0, night=True),)) is None
    assert beside.of((file(20, 0),)) is None
    assert beside.of((file(20, 0, night=1), file(21, 0, night=2))) is None


def test_each_input_gives_its_own_and_without_keys_all_agree() -> None:
    model, night = file(5, 1), file(6, 2, night=1)
    beside = SideInputs((EVENTS, shared(), shared("night")), [night, model])

    assert beside.of((file(20, 0, night=1),)) == (model, night)
    assert SideInputs((EVENTS,), []).of((file(20, 0),)) == ()


def test_without_a_count_a_group_gets_all_once_no_more_will_come() -> None:
    specs = (EVENTS, shared("night", count=0))
    files = [file(4, 1, night=1), file(9, 1, night=2), file(3, 1, night=1)]
    tonight, never = (file(20, 0, night=1),), (file(21, 0, night=3),)

    assert SideInputs(specs, files).of(tonight) == (files[2], files[0])
    assert SideInputs(specs, files).of(never) is None, "at least one"
    assert SideInputs(specs, files, growing={1}).of(tonight) is None
    assert SideInputs((EVENTS, shared()), files, growing={1}).of(tonight) == (files[1],)


def test_why_groups_wait_for_side_inputs_is_told() -> None:
    specs = (EVENTS, shared("night"), InputSpec(name="all", query={"c": 1}, use="shared", count=0))
    group = (file(20, 0, night=1),)
    cal, model = file(1, 1, night=1), file(2, 2)
    plan = GroupingSpec(Grouping(), specs)

    def why(files: list[WaitingInput], growing: set[int]) -> str:
        return why_alone(plan, SideInputs(specs, files, growing=growing), [group])

    assert why([model], set()) == "x: 1 of its files with the group's night do not exist yet"
    assert why([cal, model], {2}).startswith("all: tasks need all of its files")
    assert why([cal, model], set()) == ""


def test_files_are_looked_at_once_for_all_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0

    def counted(one: WaitingInput, keys: Any) -> Any:
        nonlocal looked
        looked += 1
        return values(one, keys)

    monkeypatch.setattr(side_inputs, "values", counted)
    files = [file(n, 1, night=n) for n in range(500)]
    beside = SideInputs((EVENTS, shared("night")), files)
    groups = [beside.of((file(1_000 + n, 0, night=n),)) for n in range(500)]

    assert groups == [(one,) for one in files]
    assert looked == 1_000  # each of both


def test_one_transaction_takes_no_more_files_than_others_can_wait_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(making, "CHUNK_FILES_MAX", 9)
    beside = SideInputs((EVENTS, shared(count=3)), [file(n, 1) for n in range(3)])
    groups = [(file(10 + n, 0),) for n in range(5)]

    assert [group for group, _ in making.first(groups, beside, 100)] == groups[:2]
    assert len(making.first(groups, beside, 1)) == 1
    monkeypatch.setattr(making, "CHUNK_FILES_MAX", 1)
    assert len(making.first(groups, beside, 100)) == 1  # one that is larger goes alone
