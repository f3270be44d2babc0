"""Ended jobs are taken off the counts once, and nobody is refused while that is being written."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

from pilotage.central.accounts import record_quotas as quota_records
from pilotage.central.accounts.counters import Counters
from pilotage.central.accounts.quotas import Quotas
from pilotage.central.identity.scope import Kind, Owners
from pilotage.central.jobs import record_submissions as submission_records
from pilotage.central.observe.events import no_log
from pilotage.central.settings import QuotaSettings
from tests.contract.store.rows import a_class, a_submission, some_jobs, waiting_jobs
from tests.fake_central import FakeClock
from tests.memory_store import MemoryStore, way

KIND = Kind("ctao", "sim", "ada", "")


class SlowStore(MemoryStore):
    """A store that answers after `go`, and has or has not taken ended jobs off before."""

    writes_first = False

    def __init__(self) -> None:
        super().__init__(clock_wall=lambda: 1_000.0)
        self.begun, self.go = asyncio.Event(), asyncio.Event()

    @way(quota_records.take_off)
    async def take_off(self, plain: Any, ended: Sequence[tuple[str, str, int, int]]) -> None:
        if self.writes_first:
            await plain(ended)
        self.begun.set()
        await self.go.wait()
        if not self.writes_first:
            await plain(ended)


async def stage(jobs_max: int, jobs: int) -> tuple[SlowStore, Quotas, Counters]:
    """Return an owner with so many unended jobs, and what counts them."""
    store = SlowStore()
    await waiting_jobs(store, jobs)
    owners, counters = Owners(store, "local"), Counters()
    await owners.learn_all()
    memory = cast(Any, SimpleNamespace(owners=owners, counters=counters))
    settings = QuotaSettings(community_jobs=jobs_max)
    quotas = Quotas(store, memory, FakeClock(), no_log, settings, local_issuer="local")
    await quotas.load()
    return store, quotas, counters


async def used(store: MemoryStore) -> int:
    return next(one.jobs for one in await store.read(quota_records.uses) if one.kind == "community")


async def test_two_that_find_no_room_wait_for_the_same_ends_and_both_get_some() -> None:
    store, quotas, counters = await stage(jobs_max=2, jobs=2)
    kind = await a_class(store)
    counters.ended[KIND] = 2

    async def one_more(key: str) -> None:
        await quotas.with_room(
            submission_records.submit, a_submission(kind, key), some_jobs(kind, 1)
        )

    async with asyncio.TaskGroup() as calls:  # which raises OverQuota where one of them does
        for key in ("first", "second"):
            calls.create_task(one_more(key))
        await store.begun.wait()
        store.go.set()

    assert await used(store) == 2


async def test_ends_are_taken_off_once_though_a_caller_leaves_meanwhile() -> None:
    store, quotas, counters = await stage(jobs_max=0, jobs=3)
    store.writes_first = True
    counters.ended[KIND] = 2
    async with asyncio.TaskGroup() as calls:
        leaving = calls.create_task(quotas.flush())
        await store.begun.wait()
        leaving.cancel()
    store.go.set()
    await quotas.flush()
    await quotas.flush()

    assert await used(store) == 1
