"""Several processes write to one PostgreSQL: what one has taken in, another one answers for."""

import asyncio
from typing import Any

import asyncpg
import pytest

from pilotage.central.jobs import record_submissions as submission_records
from pilotage.central.jobs.record_submissions import begin
from pilotage.central.store.postgresql import open_postgresql
from pilotage.central.store.postgresql.session import PostgresqlSession
from tests.services import postgresql

from .conftest import NOW, never
from .rows import a_class, a_submission, some_jobs

_asyncpg: Any = asyncpg  # it says nothing of its types
HELD = "SELECT 1 FROM submission FOR UPDATE NOWAIT"


async def test_who_answers_for_a_known_key_has_written_in_its_own_transaction(
    server: postgresql.Postgresql,
) -> None:
    """A commit may be seen before a second machine has it; one of ours that waits is behind it."""
    with server.empty_schema() as url:
        store = await open_postgresql(url, clock_wall=lambda: NOW, fatal=never)
        kind = await a_class(store)
        new = a_submission(kind)
        first = await store.write(submission_records.submit, new, some_jobs(kind, 1))
        api = await asyncio.to_thread(PostgresqlSession, url)
        other = await _asyncpg.connect(url)

        def told() -> bool:
            api.begin()
            return begin(api, new).repeated

        repeated = await asyncio.to_thread(told)
        with pytest.raises(_asyncpg.LockNotAvailableError):
            await other.execute(HELD)
        await asyncio.to_thread(api.commit)
        await other.execute(HELD)
        again = await store.write(submission_records.submit, new, some_jobs(kind, 1))
        await other.close()
        await asyncio.to_thread(api.close)
        await store.close()

    assert repeated
    assert (again.repeated, again.submission_id) == (True, first.submission_id)
