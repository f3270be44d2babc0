"""The loop that PostgreSQL's own users write: claim a job with SKIP LOCKED, sync, and again."""

import asyncio
import time
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from ...store.queries import parse
from .backing import with_connection

if TYPE_CHECKING:
    from ...store.postgresql.driver import Connection

SQL: Final = dict(parse((files(__package__) / "claims.sql").read_text(encoding="utf-8")))


async def claims(url: str, *, jobs: int, workers: int, at_once: int, seconds: float) -> float:
    """Return how many of so many waiting jobs are claimed a second, each by one worker alone.

    There are no pilots, needs or shares: whoever comes takes what is first, on a connection kept
    open, and waits for its commit. `url` names an empty schema.
    """
    await with_connection(url, partial(_fill, jobs=jobs))
    all_there = asyncio.Barrier(workers)
    work = partial(_claim, all_there=all_there, at_once=at_once, seconds=seconds)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(with_connection(url, work)) for _ in range(workers)]
    claimed = [job for task in tasks for job in task.result()]
    assert len(set(claimed)) == len(claimed) > 0, f"{len(claimed)} claimed, some twice or none"
    return len(claimed) / seconds


async def _fill(connection: "Connection", *, jobs: int) -> None:
    await connection.execute(SQL["make"])
    await connection.execute(SQL["fill"], jobs)
    await connection.execute(SQL["make_index"])
    await connection.execute(SQL["look_at_it"])


async def _claim(
    connection: "Connection", *, all_there: asyncio.Barrier, at_once: int, seconds: float
) -> list[int]:
    claimed: list[int] = []
    await all_there.wait()
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        claimed += [row[0] for row in await connection.fetch(SQL["claim"], at_once, "worker")]
    return claimed
