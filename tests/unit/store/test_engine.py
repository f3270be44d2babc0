"""The engine of the store: what a call weighs, and reads that nobody waits for any more."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pilotage.central.failover import record as failover
from pilotage.central.identity import record as identity_records
from pilotage.central.store.engine import Store, takes_long, weighs
from pilotage.central.store.errors import StoreError
from pilotage.central.store.readers import READERS
from pilotage.central.store.session import Session
from pilotage.central.store.sqlite import open_sqlite

FOR_EVER = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"


class Weighing:
    """A writer that notes how many rows each call is said to write."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    async def run(self, operation: Callable[[Any], Any], *, rows: int = 1) -> Any:
        self.rows.append(rows)
        return operation(None)


def plain(session: Session, *given: object, limit: int = 0, named: Sequence[int] = ()) -> str:
    return "done"


@weighs(3)
def heavy(session: Session, given: Sequence[int]) -> None:
    pass


def _sum(size: int, more: int) -> int:
    return size + more


@weighs(_sum)
def counted(session: Session, size: int, more: int) -> None:
    pass


async def test_a_call_weighs_as_many_rows_as_its_arguments_have_items() -> None:
    writer: Any = Weighing()
    readers: Any = None
    store = Store(writer, readers, "g")

    assert await store.write(plain) == "done"
    await store.write(plain, "a text", b"bytes", 7)
    await store.write(plain, [1, 2, 3], {"a": 1}, named=(4, 5))
    await store.write(plain, [])
    await store.write(plain, 1.5, limit=40)
    await store.write(heavy, [1, 2])
    await store.write(heavy, [])
    await store.write(counted, 5, more=6)

    assert writer.rows == [1, 1, 6, 1, 40, 6, 3, 11]


async def opened(folder: Path) -> Store:
    return await open_sqlite(folder / "s.db", clock_wall=lambda: 1.0, fatal=pytest.fail)


async def test_reads_that_nobody_waits_for_any_more_are_broken_off(tmp_path: Path) -> None:
    store = await opened(tmp_path)

    def for_ever(session: Any) -> int:
        return int(session.connection.execute(FOR_EVER).fetchone()[0])

    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3), asyncio.TaskGroup() as tasks:
            for _ in range(READERS):
                tasks.create_task(store.read(for_ever))
    assert await store.read(identity_records.owners) == []  # a reader is free
    await store.close()

    assert time.monotonic() - began < 10.0


async def test_all_statements_of_a_read_see_the_same_moment(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    loop = asyncio.get_running_loop()

    def write(session: Session, site: str) -> None:
        session.run("insert_site", {"site": site})

    def twice(session: Session) -> list[bool]:
        found = [session.one("get_site", {"site": "PIC"}) is not None]
        asyncio.run_coroutine_threadsafe(store.write(write, "CSCS"), loop).result(10)
        return [*found, session.one("get_site", {"site": "CSCS"}) is not None]

    await store.write(write, "PIC")
    assert await store.read(twice) == [True, False]
    await store.close()


async def test_a_read_of_many_small_statements_is_broken_off_too(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    ended = threading.Event()

    def small(session: Session) -> None:
        try:
            while True:
                session.one("get_site", {"site": "PIC"})
        finally:
            ended.set()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await store.read(small)
    assert await asyncio.to_thread(ended.wait, 10.0)
    await store.close()


async def test_long_reads_leave_half_of_the_readers_to_others(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    go_on = threading.Event()

    @takes_long
    def wait(session: Session) -> bool:
        return go_on.wait(30.0)

    async with asyncio.TaskGroup() as tasks:
        reads = [tasks.create_task(store.read(wait)) for _ in range(2 * READERS)]
        await asyncio.sleep(0.1)
        async with asyncio.timeout(10.0):
            assert await store.read(identity_records.owners) == []
        go_on.set()
    assert [one.result() for one in reads] == [True] * len(reads)
    await store.close()


async def test_a_closed_store_refuses_reads_as_it_does_writes(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.close()

    with pytest.raises(StoreError, match="the store is closed"):
        await store.read(identity_records.owners)


async def test_what_a_cycle_of_failover_mends_counts_as_rows() -> None:
    writer: Any = Weighing()
    readers: Any = None
    inputs = [SimpleNamespace()] * 500
    kept = SimpleNamespace(seen=[1, 2], reports=[1], mends=[SimpleNamespace(inputs=inputs)])

    with suppress(AttributeError):  # the verb itself has no session here
        await Store(writer, readers, "g").write(failover.keep_cycle, cast(Any, kept))

    assert writer.rows == [2 + 4 + 1 + 501]
