"""Promise P1: what was acknowledged before a kill -9 is stored."""

import itertools
import random
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from pilotage.central.identity import record as identity_records
from pilotage.central.jobs import (
    record as job_records,
    record_search as job_search,
    record_submissions as submission_records,
)
from pilotage.central.jobs.record_types import JobSearch
from pilotage.central.store.engine import Store
from pilotage.central.store.sqlite import open_sqlite
from pilotage.proto.job_states import JobState

ROOT = Path(__file__).parents[2]


def killed_after(path: Path, lines: int) -> list[list[str]]:
    """Run a writing process until it has said so many lines, kill it, return all that it said."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.store_child", str(path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert child.stdout is not None
    with child:
        said = list(itertools.islice(child.stdout, lines))
        child.kill()
        said += child.stdout.readlines()
    assert len(said) >= lines, "the process ended by itself"
    return [line.split() for line in said if line.endswith("\n")]


async def check(store: Store, said: Iterable[list[str]]) -> None:
    owner_id = (await store.read(identity_records.owners))[0].owner_id
    for event, *rest in said:
        if event == "submitted":
            record = await store.read(
                submission_records.submission_by_key, "ctao", owner_id, rest[0]
            )
            assert record is not None and record.complete
            assert record.ranges == ((int(rest[1]), int(rest[2])),)
        elif event == "matched":
            attempts = await store.read(job_records.attempts, int(rest[0]))
            assert [attempt.attempt_id for attempt in attempts] == [int(rest[1])]
        else:
            job = await store.read(job_records.job, int(rest[0]))
            assert job is not None and job.state is JobState.DONE


@pytest.mark.parametrize("seed", range(3))
async def test_acknowledged_is_stored_after_kill_nine(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "store.db"
    said = killed_after(path, random.Random(seed).randint(20, 400))
    store = await open_sqlite(path, clock_wall=lambda: 0.0, fatal=pytest.fail)
    await check(store, said)
    counted = sum(row.count for row in await store.read(job_records.counts))
    ids = await store.read(job_search.ids, JobSearch(), limit=100_000)
    await store.close()

    assert counted == len(ids)
    assert len(ids) % 3 == 0  # whole submissions only, and nothing of those that were arriving
