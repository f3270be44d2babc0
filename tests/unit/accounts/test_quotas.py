"""Ended jobs are taken off the counts once, and nobody is refused while that is being written."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pilotage.central.accounts import record_quotas as quota_records
from pilotage.central.accounts.counters import Counters
from pilotage.central.accounts.quotas import EVERY_S, Quotas
from pilotage.central.accounts.record_quotas import Quota
from pilotage.central.identity.callers import User
from pilotage.central.identity.scope import CountKey, Owners
from pilotage.central.jobs import record_submissions as submission_records
from pilotage.central.observe.events import no_log
from pilotage.central.settings import QuotaSettings
from pilotage.central.store.errors import StoreError
from pilotage.proto.api.quotas import QuotaChange
from pilotage.proto.claims import Role
from tests.contract.store.rows import a_class, a_submission, some_jobs, waiting_jobs
from tests.fake_central import FakeClock, settle
from tests.memory_store import MemoryStore, way

KIND = CountKey("ctao", "sim", "ada", "")


class SlowStore(MemoryStore):
    """A store that answers after `go`, and has or has not taken ended jobs off before."""

    writes_first = False
    slow_reads = False

    def __init__(self) -> None:
        super().__init__(clock_wall=lambda: 1_000.0)
        self.begun, self.go = asyncio.Event(), asyncio.Event()
        self.read_and_waiting: list[asyncio.Event] = []

    @way(quota_records.quotas)
    async def quotas(self, plain: Any) -> Any:
        found = await plain()
        if self.slow_reads:
            self.read_and_waiting.append(asyncio.Event())
            await self.read_and_waiting[-1].wait()
        return found

    @way(quota_records.take_off)
    async def take_off(self, plain: Any, ended: Sequence[tuple[str, str, int, int]]) -> None:
        if self.writes_first:
            await plain(ended)
        self.begun.set()
        await self.go.wait()
        if not self.writes_first:
            await plain(ended)


async def stage(
    jobs_max: int, jobs: int, clock: FakeClock | None = None
) -> tuple[SlowStore, Quotas, Counters]:
    """Return an owner with so many unended jobs, and what counts them."""
    store = SlowStore()
    await waiting_jobs(store, jobs)
    owners, counters = Owners(store, "local"), Counters()
    await owners.learn_all()
    memory = cast(Any, SimpleNamespace(owners=owners, counters=counters))
    settings = QuotaSettings(community_jobs=jobs_max)
    quotas = Quotas(store, memory, clock or FakeClock(), no_log, settings, local_issuer="local")
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


async def test_what_was_read_later_holds_though_an_earlier_reading_ends_last() -> None:
    store, quotas, _ = await stage(jobs_max=0, jobs=1)
    store.slow_reads = True
    limit = Quota(kind="community", community="ctao", name="", jobs=7, bytes=None)
    async with asyncio.TaskGroup() as calls:
        earlier = calls.create_task(quotas.load())
        await settle()
        await store.write(quota_records.put_quota, limit)
        later = calls.create_task(quotas.load())
        await settle()
        while not (earlier.done() and later.done()):
            store.read_and_waiting.pop().set()  # the latest first
            await settle()

    assert quotas.limits.of("community", "ctao", "").jobs == 7


async def test_a_quota_that_could_not_be_read_is_read_again() -> None:
    clock = FakeClock()
    store, quotas, _ = await stage(jobs_max=0, jobs=1, clock=clock)
    admin = User(
        issuer="local", subject="root", name="root", community="", groups=(), role=Role.ADMIN,
        expires_at=1e12, jti="",
    )  # fmt: skip
    asked = QuotaChange(kind="community", community="ctao", jobs=7)
    whole, store.read = store.read, cast(Any, broken)  # type: ignore[method-assign]
    with pytest.raises(StoreError):
        await quotas.change(admin, asked)
    store.read = whole  # type: ignore[method-assign]
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(quotas.run())
        await settle()
        await clock.advance(EVERY_S)
        running.cancel()

    assert quotas.limits.of("community", "ctao", "").jobs == 7


async def broken(*_: object) -> None:
    raise StoreError("the disk does not answer")
