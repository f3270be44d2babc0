"""Of many files that wait memory holds the first of them, and those that make no group yet."""

import asyncio
from typing import Any

import pytest

from pilotage.central.transformations import task_creation as making
from pilotage.central.transformations.live_state import LiveTransformation
from pilotage.proto.transformation_states import TaskState as T
from tests.fakes import FakeInstallation

from .test_data_transformations import EVENTS, registered, story, times_done
from .test_on_fakes import lasts
from .test_transformations import added, shown, until

FILES = 24


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return how many files were held after each look; pages are small."""
    counts: list[int] = []
    some = making.TaskMaker.some

    async def counted(self: making.TaskMaker, live: LiveTransformation) -> bool:
        made = await some(self, live)
        counts.append(len(live.pool or ()))
        return made

    monkeypatch.setattr(making.TaskMaker, "some", counted)
    monkeypatch.setattr(making, "POOL_MAX", 4)
    monkeypatch.setattr(making, "PAGE", 2)
    return counts


async def with_parts(world: FakeInstallation, apart: int) -> None:
    """Register files of which each two have a part; so many of other parts lie between."""
    await registered(world, [100], part=-1)  # the key is known
    for n in range(FILES):
        await registered(world, [n], part=n // (2 * apart) * apart + n % apart)


@pytest.mark.parametrize(
    "apart, most",
    [
        pytest.param(1, 6, id="those of a group lie beside each other"),
        pytest.param(12, FILES + 1, id="all first halves come before all second ones"),
    ],
)
def test_memory_holds_what_makes_no_group_and_little_more(
    held: list[int], apart: int, most: int
) -> None:
    async def tell(world: FakeInstallation) -> None:
        await with_parts(world, apart)
        by_part = {"rule": "key", "keys": ["part"], "size": 2}
        one = await added(world, **EVENTS, grouping=by_part, tasks_open_max=1)
        await until(world, one, lambda v: v.tasks.get(T.DONE) == FILES // 2)

        assert max(held) <= most, held
        assert set((await times_done(world, one)).values()) == {1}

    story(tell, script=lasts(1.0))


def test_a_group_is_not_called_late_while_files_of_it_were_not_looked_at(held: list[int]) -> None:
    async def tell(world: FakeInstallation) -> None:
        await with_parts(world, FILES // 2)
        await asyncio.sleep(60.0)
        by_part = {"rule": "key", "keys": ["part"], "size": 2, "partial": "after", "after_s": 30}
        one = await added(world, **EVENTS, grouping=by_part)
        await until(world, one, lambda v: v.tasks.get(T.DONE) == FILES // 2 + 1)

        assert len(await times_done(world, one)) == FILES + 1
        assert max(held) <= FILES + 1

    story(tell, script=lasts(1.0))


def test_files_that_wait_for_a_side_input_of_all_are_not_all_held(held: list[int]) -> None:
    async def tell(world: FakeInstallation) -> None:
        await registered(world, range(FILES), part=1)
        await registered(world, [100], part=0)
        inputs: list[dict[str, Any]] = [
            {"name": "raw", "query": {"part": 1}},
            {"name": "model", "query": {"part": 2}, "use": "shared"},
        ]
        one = await added(world, inputs=inputs)
        await asyncio.sleep(30.0)

        assert (await shown(world, one)).tasks_made == 0
        assert max(held) <= 4
        await registered(world, [101], part=2)
        await until(world, one, lambda v: v.tasks.get(T.DONE) == FILES)

    story(tell, script=lasts(1.0))
