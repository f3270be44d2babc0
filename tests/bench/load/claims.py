"""The loop that PostgreSQL's own users write: claim a job with SKIP LOCKED, sync, and again."""

import asyncio
import time
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, Final, NamedTuple

from pilotage.central.store.queries import parse

from .backing import Server, with_connection

if TYPE_CHECKING:
    from pilotage.central.store.postgresql.driver import PostgresqlConnection

_FILE: Final = files("tests.bench.load") / "claims.sql"
SQL: Final = dict(parse(_FILE.read_text(encoding="utf-8")))


class Claims(NamedTuple):
    """What a stretch of claiming came to."""

    rate: float  # jobs a second
    server_us: float | None  # CPU of the server a job, where we have started it


async def claims(
    server: Server, url: str, *, jobs: int, workers: int, at_once: int, seconds: float
) -> Claims:
    """Let workers claim from so many waiting jobs, each by one of them alone.

    There are no pilots, needs or shares: whoever comes takes what is first, on a connection kept
    open, and waits for its commit. `url` names an empty schema.
    """
    await with_connection(url, partial(_fill, jobs=jobs))
    all_there = asyncio.Barrier(workers + 1)
    work = partial(_claim, all_there=all_there, at_once=at_once, seconds=seconds)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(with_connection(url, work)) for _ in range(workers)]
        await all_there.wait()
        before = server.cpu_s()
    after = server.cpu_s()
    claimed = [job for task in tasks for job in task.result()]
    assert len(set(claimed)) == len(claimed) > 0, f"{len(claimed)} claimed, some twice or none"
    server_us = (after - before) / len(claimed) * 1e6 if after and before else None
    return Claims(len(claimed) / seconds, server_us)


async def _fill(connection: "PostgresqlConnection", *, jobs: int) -> None:
    await connection.execute(SQL["make"])
    await connection.execute(SQL["fill"], jobs)
    await connection.execute(SQL["make_index"])
    await connection.execute(SQL["look_at_it"])


async def _claim(
    connection: "PostgresqlConnection", *, all_there: asyncio.Barrier, at_once: int, seconds: float
) -> list[int]:
    claimed: list[int] = []
    await all_there.wait()
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        claimed += [row[0] for row in await connection.fetch(SQL["claim"], at_once, "worker")]
    return claimed
