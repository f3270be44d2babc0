"""A process in which everything happens to a store that can happen, and which says what is certain.

    store_life.py FOLDER FIRST ROUNDS DIE_AFTER [normal|off|early|unnamed]

Each line is a fact: `kind` and what identifies it. After DIE_AFTER facts it kills itself in the
middle of whatever the others are doing; 0: it closes the store and ends. The last word plants a
mistake: another setting of `synchronous`, answers before their commit, blobs whose names are not
synced.
"""

import asyncio
import hashlib
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from pilotage.central.dispatch import record as turn_records
from pilotage.central.identity import record as token_records
from pilotage.central.identity.record_types import TokenRow
from pilotage.central.jobs import record as job_records, record_submissions as submission_records
from pilotage.central.jobs.record_types import JobClassRow, ShareLevels, UncountedReport
from pilotage.central.operate import files
from pilotage.central.operate.files import RealBlobs
from pilotage.central.pilots import record as pilot_records
from pilotage.central.store import writer
from pilotage.central.store.engine import Store
from pilotage.central.store.queries import load
from pilotage.central.store.sqlite import checkpoints, durable, open_sqlite
from pilotage.proto.job_states import JobState
from tests import turns
from tests.contract.store.rows import (
    a_class,
    a_move,
    a_registration,
    a_requeue,
    a_secret,
    a_submission,
    a_want,
    an_attempt,
    an_end,
    some_jobs,
    submitted,
)
from tests.faults.telling import Teller

WORKERS = 5
CHECKPOINT_ROWS = 250  # instead of 24 000, so that a short life has many checkpoints
SYNCHRONOUS = {"normal": "PRAGMA synchronous = NORMAL", "off": "PRAGMA synchronous = OFF"}


def blob_of(number: int) -> tuple[str, bytes]:
    """Return a file and its name, the hash of its bytes."""
    content = f"blob {number} ".encode() * 300
    return hashlib.sha256(content).hexdigest(), content


async def _live(store: Store, blobs: RealBlobs, say: Teller, worker: int, numbers: range) -> None:
    kind = await a_class(store, group=f"group-{worker}")
    for n in numbers:
        number = worker * 100_000 + n
        await _run_jobs(store, say, kind, f"{worker}-{n}")
        await _pilots_and_tokens(store, say, number)
        if n % 4 == 0:
            name, content = blob_of(number)
            await blobs.put(name, _once(content), size_max=1 << 20)
            say("blob", name)


async def _run_jobs(store: Store, say: Teller, kind: JobClassRow, key: str) -> None:
    """Five jobs: two end, one is lost, one is killed as it runs and one as it waits."""
    record = await submitted(store, kind, 5, key)
    ((job, count),) = record.ranges
    say("submitted", key, job, count)
    attempt = await store.write(job_records.reserve_attempts, 4)
    say("reserved", attempt + 3)
    matched = await turns.match(
        store, [an_attempt(attempt + i, job + i, class_id=kind.class_id) for i in range(4)]
    )
    assert None not in matched
    for i in range(4):
        say("matched", attempt + i, job + i)
    assert all(await turns.change(store, [an_end(attempt, job), a_requeue(attempt + 1, job + 1)]))
    say("ended", attempt, job)
    say("requeued", attempt + 1, job + 1)
    assert await store.write(job_records.want, [a_want(attempt + 2, job + 2)]) == [True]
    say("wanted", attempt + 2)
    assert await store.write(
        job_records.move, [a_move(job + 4, JobState.WAITING, JobState.KILLED)]
    ) == [True]
    say("killed", job + 4)
    report = key.encode()
    await store.write(
        job_records.keep_evidence,
        [UncountedReport(job_id=job, epoch=9, at=1.0, pilot="zombie", why="stale", report=report)],
    )
    say("evidence", job, key)
    assert await store.write(job_records.delete, [job], 60.0, "ada") == [True]
    say("deleted", job)
    changed, _ = await store.write(turn_records.turn, [an_end(attempt + 3, job + 3)], [])
    assert changed == [True]
    say("ended", attempt + 3, job + 3)


async def _pilots_and_tokens(store: Store, say: Teller, number: int) -> None:
    await store.write(pilot_records.add_secrets, [a_secret(number)])
    say("pilot", f"pilot-{number}", 0)
    await store.write(pilot_records.register, a_registration(number))
    say("pilot", f"pilot-{number}", 1)
    await store.write(pilot_records.hello, f"pilot-{number}", "again")
    say("pilot", f"pilot-{number}", 2)
    token = TokenRow(
        jti=f"token-{number}",
        issuer="local",
        subject="ada",
        name="ada",
        community="ctao",
        groups=(),
        role="user",
        issued_at=1.0,
        expires_at=1e12,
        issued_by="admin",
    )
    await store.write(token_records.add_token, token)
    say("token", token.jti)
    assert await store.write(token_records.revoke_token, token.jti, 5.0)
    say("revoked", token.jti)


async def _arrive(store: Store, numbers: range) -> None:
    """Bring submissions that are never finished: nothing of them may ever be seen."""
    kind = await a_class(store, group="arriving")
    for n in numbers:
        begun = await store.write(
            submission_records.begin_submission, a_submission(kind, f"arriving-{n}")
        )
        for _ in range(3):
            await store.write(submission_records.add_jobs, begun.submission_id, some_jobs(kind, 20))
        await store.write(
            job_records.keep_levels, ShareLevels(at=float(n), levels={"ctao/sim": float(n)})
        )


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


def plant(mistake: str) -> None:
    """Make the store worse than it is, until the process ends."""
    wrong: list[tuple[object, str, Callable[..., object]]] = []
    if mistake in SYNCHRONOUS:
        wrong = [
            (durable, "load", _statements(SYNCHRONOUS[mistake])),
            (durable, "require", _ask_for_nothing),
        ]
    elif mistake == "early":
        wrong = [(writer.Writer, "_transact", _answer_before_the_commit)]
    elif mistake == "unnamed":
        wrong = [(files, "sync_folder", _sync_no_name)]
    for owner, name, value in wrong:
        getattr(owner, name)  # it is still called so
        setattr(owner, name, value)


def _ask_for_nothing(*_: object) -> None:
    return


def _sync_no_name(_: Path) -> None:
    return


def _statements(synchronous: str) -> Callable[[str], Mapping[str, str]]:
    return lambda database: {**load(database), "set_synchronous": synchronous}


def _answer_before_the_commit(self: Any, group: Any) -> None:
    connection, sql = self._session.connection, self._session.sql
    connection.execute(sql["begin"])
    for operation in group:
        operation.result = operation.run(self._session)
    self._loop.call_soon_threadsafe(self._resolve, group)
    time.sleep(0.002)
    connection.execute(sql["commit"])


async def main(folder: Path, first: int, rounds: int, die_after: int) -> None:
    checkpoints.CHECKPOINT_ROWS = CHECKPOINT_ROWS  # type: ignore[misc]
    store = await open_sqlite(
        folder / "store.sqlite", clock_wall=lambda: 0.0, fatal=lambda _: os._exit(70)
    )
    blobs = RealBlobs(folder / "blobs")
    say, numbers = Teller(die_after), range(first, first + rounds)
    say("generation", store.generation)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_arrive(store, numbers))
        for worker in range(WORKERS):
            tasks.create_task(_live(store, blobs, say, worker, numbers))
    await store.close()


if __name__ == "__main__":
    plant(sys.argv[5] if len(sys.argv) > 5 else "full")
    asyncio.run(main(Path(sys.argv[1]), *(int(word) for word in sys.argv[2:5])))
