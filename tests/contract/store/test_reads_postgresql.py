"""Connections that single statements are read on: a silent one is given up, and another had."""

import asyncio
import os
import signal
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from pilotage.central.store.postgresql.reads import CONNECTIONS, Reader
from tests.services.postgresql import Postgresql

OF_THE_READER = """
SELECT pid FROM pg_stat_activity WHERE state = 'idle' AND query LIKE '%pg_current_snapshot%'
"""


@contextmanager
def silent(server: Postgresql) -> Generator[None]:
    """Let what serves the reader stand still, as on a machine that is gone."""
    pids = [int(line) for line in server.sql(OF_THE_READER).split()]
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def test_a_connection_on_which_nobody_answered_in_time_is_not_asked_again(
    server: Postgresql,
) -> None:
    with server.empty_schema() as url:
        reader = Reader(url)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(CONNECTIONS):
                tasks.create_task(reader.rows("moment", {}))
        with silent(server):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await reader.rows("moment", {})
            async with asyncio.timeout(10):
                found = await reader.rows("moment", {})
        await reader.close()

    assert len(found) == 1
