"""Actions by filter: how many of one person are under way, and how many jobs one may choose."""

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from pilotage.central.dispatch.control import BEYOND, FILTERS_MAX, IDS_MAX
from pilotage.central.errors import Refused
from pilotage.central.identity.callers import User
from pilotage.central.jobs import record_search as job_search
from pilotage.central.jobs.record_types import JobSearch
from pilotage.proto.api.jobs import Action, ActionName, ActionReply, JobFilter
from pilotage.proto.job_states import JobState
from pilotage.proto.problems import Code

from .test_protocol import Scene, scene

WAITING = JobFilter(states=(JobState.WAITING,))


async def hold(
    one: Scene, expected: int, *, caller: User | None = None, key: str = ""
) -> ActionReply:
    action = Action(action=ActionName.HOLD, filter=WAITING, expected=expected, key=key)
    return await one.world.central.services.control.act(caller or one.world.user(), action)


def code_of(one: "asyncio.Task[ActionReply]") -> Code | None:
    """Return how an action was refused that has ended by now; None: it has not."""
    if not one.done():
        return None
    why = one.exception()
    assert isinstance(why, Refused)
    return why.code


def test_a_third_action_by_filter_of_one_person_is_refused_and_others_go_on() -> None:
    async def tell(one: Scene) -> None:
        (job, *_) = await one.submit(3)
        store, go_on, reads = one.world.store, asyncio.Event(), list[JobSearch]()

        async def slowly(plain: Any, search: JobSearch, *, limit: int) -> Any:
            reads.append(search)
            await go_on.wait()
            return await plain(search, limit=limit)

        store.ways[job_search.ids] = slowly
        bob = msgspec.structs.replace(one.world.user(), subject="bob")
        loop = asyncio.get_running_loop()
        mine = [loop.create_task(hold(one, 99, key=f"k{n % 4}")) for n in range(8)]
        his = loop.create_task(hold(one, 99, caller=bob))
        named = Action(action=ActionName.PRIORITY, ids=(job,), priority=3)
        await one.world.central.services.control.act(one.world.user(), named)
        await asyncio.sleep(1.0)
        at_once = [code_of(task) for task in (*mine, his)]
        under_way = len(reads)
        go_on.set()
        await asyncio.wait([*mine, his])
        late = [code_of(task) for task in (*mine, his)]
        done = (await hold(one, 3, key="k3")).done  # what was refused so is not kept by its key

        # A copy of what is under way waits for it and reads nothing: it does not count.
        waiting, too_many = [None] * FILTERS_MAX, [Code.TOO_MANY] * (4 - FILTERS_MAX)
        assert at_once == [*waiting, *too_many, *waiting, *too_many, None]
        assert under_way == FILTERS_MAX + 1
        assert late.count(Code.COUNT_CHANGED) == 2 * FILTERS_MAX + 1
        assert done == 3

    scene(tell)


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Let there be a hundred times fewer jobs than one action may choose in truth."""
    monkeypatch.setattr("pilotage.central.dispatch.control.IDS_MAX", IDS_MAX // 100_000)
    yield IDS_MAX // 100_000


@pytest.mark.parametrize("beyond", [0, 2])
def test_more_jobs_than_one_action_takes_are_not_taken_for_those_that_were_expected(
    many: int, beyond: int
) -> None:
    async def tell(one: Scene) -> None:
        jobs = await one.submit(many + 2)
        with pytest.raises(Refused) as refused:
            await hold(one, many + beyond)
        states = {await one.state(job) for job in jobs}

        assert (refused.value.code, refused.value.field) == (Code.COUNT_CHANGED, "filter")
        assert f"more than {many} jobs match" in str(refused.value)
        assert "narrow the filter" in str(refused.value)
        assert states == {JobState.WAITING}

    scene(tell)


def test_as_many_as_one_action_takes_are_done(many: int) -> None:
    async def tell(one: Scene) -> None:
        await one.submit(many)

        assert (await hold(one, many)).done == many

    scene(tell)


#     expected       there         read               told
WRONG = [
    (2, 5, 5, "5 jobs match now, not 2"),
    (5, 2, 2, "2 jobs match now, not 5"),
    (2, 2 * BEYOND, BEYOND + 3, f"more than {BEYOND + 2} jobs match now, not 2"),
]


@pytest.mark.parametrize(("expected", "there", "read", "told"), WRONG)
def test_of_a_count_that_is_far_off_few_jobs_are_read(
    expected: int, there: int, read: int, told: str
) -> None:
    async def tell(one: Scene) -> None:
        await one.submit(there)
        store, found = one.world.store, list[int]()

        async def counted(plain: Any, search: JobSearch, *, limit: int) -> list[int]:
            found.extend(await plain(search, limit=limit))
            return found

        store.ways[job_search.ids] = counted
        with pytest.raises(Refused) as refused:
            await hold(one, expected)

        assert told in str(refused.value)
        assert len(found) == read

    scene(tell)
