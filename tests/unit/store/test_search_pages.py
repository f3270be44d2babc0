"""A page of a search is full while jobs follow, though some vanish between its two reads."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pilotage.central.store.records import Search
from pilotage.central.store.sqlite import open_sqlite
from tests.contract.store.rows import waiting_jobs


class Vanishing:
    """A reader on which some jobs are found and have no row."""

    def __init__(self, reader: Any, gone: set[int]) -> None:
        self._reader, self._gone, self.reads = reader, gone, 0

    async def rows(self, statement: str, parameters: Mapping[str, object]) -> list[Any]:
        self.reads += 1
        assert self.reads < 50, "it reads for ever"
        rows: list[Any] = await self._reader.rows(statement, parameters)
        return [row for row in rows if statement != "job_rows" or row[0] not in self._gone]

    async def one(self, statement: str, parameters: Mapping[str, object]) -> Any:
        return await self._reader.one(statement, parameters)


async def test_jobs_that_vanish_between_two_reads_are_left_out_and_others_fill_the_page(
    tmp_path: Path,
) -> None:
    store: Any = await open_sqlite(tmp_path / "s.db", clock_wall=lambda: 1.0, fatal=pytest.fail)
    ids = await waiting_jobs(store, 6)
    plain, store._reader = store._reader, Vanishing(store._reader, {ids[0], ids[2], ids[5]})
    try:
        first = await store.search(Search(), after=0, limit=2)
        rest = await store.search(Search(), after=first[-1].job_id, limit=2)
    finally:
        store._reader = plain
        await store.close()

    assert [job.job_id for job in first] == [ids[1], ids[3]]
    assert [job.job_id for job in rest] == [ids[4]]
