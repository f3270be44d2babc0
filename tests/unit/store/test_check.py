"""`doctor --store` finds what does not fit, and says nothing of a store that is right."""

import sqlite3
from pathlib import Path

import pytest

from pilotage.central.catalogue import (
    record_files as file_records,
    record_read as catalogue_read,
    record_registration as registration,
)
from pilotage.central.catalogue.record_types import NewFile, NewReplica, ReplicaChange
from pilotage.central.jobs import (
    record as job_records,
    record_retention as retention_records,
    record_submissions as submission_records,
)
from pilotage.central.pilots import record_logs as log_records
from pilotage.central.pilots.record_logs import LogLine, LogSource
from pilotage.central.store import audit as check
from pilotage.central.store.engine import Store
from pilotage.central.store.sqlite import check as file_check, open_sqlite
from pilotage.central.store.sqlite.snapshot import IDS_SKIPPED, renew, snapshot
from pilotage.proto.catalogue import Did, ReplicaState
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import How
from tests import turns
from tests.contract.store.rows import (
    USAGE,
    a_class,
    a_move,
    a_requeue,
    an_end,
    matched,
    submitted,
)

D, F, K, W = JobState.DONE, JobState.FAILED, JobState.KILLED, JobState.WAITING


async def fill(store: Store) -> None:
    """Make a store in which each kind of job stands once: jobs 1 to 8."""
    kind = await a_class(store)
    record = await submitted(store, kind, 8)
    done, failed, killed, running, adrift, again, gone, _ = range(1, 9)
    assert record.ranges == ((1, 8),)
    await turns.change(store, [an_end(await matched(store, done), done)])
    await turns.change(store, [an_end(await matched(store, failed), failed, new=F, failed=True)])
    await store.write(job_records.move, [a_move(killed, W, K)])
    await matched(store, running)
    await turns.change(store, [a_requeue(await matched(store, adrift), adrift)])
    await turns.change(store, [an_end(await matched(store, again), again)])
    await store.write(job_records.move, [a_move(again, D, W, new_round=True)])
    await turns.change(store, [an_end(await matched(store, again, 2), again, 2)])
    await turns.change(store, [an_end(await matched(store, gone), gone)])
    await store.write(retention_records.prune_jobs, [(gone, 40.0)])
    source = LogSource(pilot="pilot-1", community="ctao", site="PIC", element="e", host="wn1")
    line = LogLine(n=1, at=1.0, event="ended", job=done, epoch=1)
    await store.write(log_records.keep_pilot_log, source, [line], at=1.0, bytes_max=9_999)
    await some_files(store)


async def some_files(store: Store) -> None:
    """Register files 1 to 40, whose runs are their own, in a dataset; make the first one Lost."""
    dataset = Did("prod6", "all")
    files = [
        NewFile(
            did=Did("prod6", f"run{n}"),
            bytes=n,
            adler32="00000001",
            metadata={"run": n, "site": "PIC", "good": n > 3, "name.of-it": f"r{n}"},
            replicas=(NewReplica(storage="disk", path="p"),),
            datasets=(dataset,),
        )
        for n in range(1, 41)
    ]
    await store.write(registration.register_files, "ctao", files, at=1.0, make_datasets=True)
    bad = ReplicaChange(did=Did("prod6", "run1"), storage="disk", state=ReplicaState.BAD)
    await store.write(file_records.change_replicas, "ctao", [bad], at=1.0)


def _never(why: str) -> None:
    raise AssertionError(why)


def found(path: Path) -> list[str]:
    with file_check.reading(path) as session:
        return [text for _, texts in check.differences(session) for text in texts]


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    store = await open_sqlite(tmp_path / "store.sqlite", clock_wall=lambda: 1.0, fatal=_never)
    await fill(store)
    await store.close()
    return tmp_path / "store.sqlite"


def spoil(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    connection.execute("DROP TRIGGER job_moves_in_its_zone")
    connection.execute(statement)
    connection.close()


async def test_a_store_that_is_right_gives_no_difference(path: Path) -> None:
    # its pilots are made up; everything else has to fit
    assert found(path) == ["attempt 3 is live on the unknown pilot pilot-1"]


@pytest.mark.parametrize(("how", "event"), [(How.DRAINED, "lost"), (How.KILLED, "held")])
async def test_what_an_attempt_without_a_result_has_used_is_no_failure(
    path: Path, how: How, event: str
) -> None:
    store = await open_sqlite(path, clock_wall=lambda: 1.0, fatal=_never)
    end = a_requeue(
        await matched(store, 8), 8, close=True, lost=False, how=how, event=event, usage=USAGE
    )
    await turns.change(store, [end])
    await store.close()

    assert found(path) == ["attempt 3 is live on the unknown pilot pilot-1"]


# what is done to the store → what is said of it
SPOILT = {
    "UPDATE zone SET jobs = 7 WHERE state = 'Killed'": "says 7, the rows say 1",
    "DELETE FROM zone WHERE state = 'Failed'": "says 0, the rows say 1",
    "UPDATE job SET state = 'Held' WHERE job_id = 8": "Held: says 0, the rows say 1",
    "DELETE FROM body WHERE job_id = 3": "job 3 has no body",
    "DELETE FROM job WHERE job_id = 3": "body 3 has no job",
    "UPDATE submission SET ranges = '[[1, 7]]'": "job 8 is not among the jobs of its submission 1",
    "DELETE FROM job WHERE job_id = 1": "attempt 1 belongs to job 1, which does not exist",
    "UPDATE attempt SET epoch = 2 WHERE job_id = 1": "job 1: its 1 attempts have epochs 2 to 2",
    "UPDATE attempt SET previous = 1 WHERE job_id = 6 AND epoch = 2": "its predecessor 1 does",
    "UPDATE job SET epoch = 3 WHERE job_id = 1": "at epoch 3, but its last attempt 1 is at 1",
    "UPDATE job SET site_id = 9 WHERE job_id = 1": "job 1 is counted at another site",
    "UPDATE job SET state = 'Done', ended_at = 1 WHERE job_id = 4": "is live, but its job 4 is Don",
    "UPDATE attempt SET epoch = 5 WHERE job_id = 4": "is live at epoch 5, but its job 4 is at 0",
    "UPDATE attempt SET open = 1 WHERE job_id = 1": "attempt 1 is still open",
    "UPDATE attempt SET round = 1": "job 6 has 2 results in round 1",
    "UPDATE attempt SET event = 'lost' WHERE job_id = 1": "job 1 is Done, but its last attempt end",
    "UPDATE job SET failures = 0 WHERE job_id = 2": "job 2 has 0 failures, but its attempts",
    "UPDATE counter SET next = 3 WHERE name = 'job'": "counter job is at 3, but 8 is in use",
    "INSERT INTO note (job_id, at, who, event, detail) VALUES (99, 0, '', '', '')": "to job 99",
    "UPDATE attempt SET site_id = 77 WHERE job_id = 1": "attempt 1 is at a site that does not ex",
    "UPDATE log_source SET bytes = 7": (
        "pilot pilot-1 is noted with 7 bytes of log, but its parcels have 1"
    ),
    "UPDATE log_parcel SET source_id = 9": "parcel 1 of a log belongs to no pilot",
    "DELETE FROM log_parcel": "job 1 is linked to parcel 1 of a log, which does not exist",
    "DELETE FROM log_job": "parcel 1 of a log is about job 1, but is not linked to it",
    "UPDATE file SET own = '{\"run\":99}' WHERE file_id = 2": "file 2 has an own value of run that",
    "UPDATE file SET own = NULL WHERE file_id = 2": "finds a value of run for file 2, which has",
    "DELETE FROM own_value WHERE file_id = 7": "file 7 has an own value of name.of-it that no",
    "UPDATE file SET state = 'Missing' WHERE file_id = 3": "file 3 is Missing, but its copies imp",
    "UPDATE replica SET state = 'Bad' WHERE file_id = 4": "file 4 is Available, but its copies imp",
    "UPDATE file SET set_id = 99 WHERE file_id = 5": "file 5 has metadata 99, which do not exist",
    "INSERT INTO replica VALUES (99, 'x', 'p', 'Bad', 0)": "a copy on x belongs to file 99, which",
    "DELETE FROM dataset": "file 1 is in dataset 1, but one of them does not exist",
    "UPDATE counter SET next = 3 WHERE name = 'file_change'": "counter file_change is at 3, but",
    "UPDATE job SET class_id = 55 WHERE job_id = 8": "of job refers to a row of class that does no",
}


@pytest.mark.parametrize("statement", SPOILT)
async def test_each_difference_is_named(path: Path, statement: str) -> None:
    spoil(path, statement)

    assert any(SPOILT[statement] in text for text in found(path)), found(path)


COUNTED = """
INSERT INTO remnant (remnant_id, storage, path, community, owner_id, group_name, bytes, since,
                     due_from)
VALUES (1, 'pic', 'ctao/1', 'ctao', 1, 'users', 7, 0, 0);
INSERT INTO remnant_count (storage, community, waiting, waiting_bytes)
VALUES ('pic', 'ctao', 1, 9007199254740991);
UPDATE counter SET next = 2 WHERE name = 'remnant'"""


async def test_bytes_that_were_counted_up_to_their_bound_are_no_difference(path: Path) -> None:
    right = found(path)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(COUNTED)
    counted = found(path)
    connection.execute("UPDATE remnant_count SET waiting_bytes = 8")
    connection.close()

    assert counted == right
    assert any("1 wait with 8 bytes" in text for text in found(path))


async def test_a_snapshot_is_one_moment_of_a_store_that_is_written(path: Path) -> None:
    copy = path.with_name("copy.sqlite")
    store = await open_sqlite(path, clock_wall=lambda: 1.0, fatal=_never)
    kind = await a_class(store)
    await submitted(store, kind, 5, "before")
    await snapshot(path, copy)
    await submitted(store, kind, 5, "after")
    before = store.generation
    await store.close()
    generation = renew(copy, 5.0)
    restored = await open_sqlite(copy, clock_wall=lambda: 1.0, fatal=_never)
    try:
        assert restored.generation == generation != before
        assert (
            await restored.read(
                submission_records.submission_by_key, "ctao", kind.owner_id, "before"
            )
            is not None
        )
        assert (
            await restored.read(
                submission_records.submission_by_key, "ctao", kind.owner_id, "after"
            )
            is None
        )
        again = await submitted(restored, kind, 1, "again")
        assert again.ranges[0][0] > IDS_SKIPPED
        rows = await restored.read(catalogue_read.files_changed, "ctao", 0, limit=99)
        assert len(rows) == 40
        new = NewFile(did=Did("prod6", "new"), bytes=1, adler32="00000001", metadata={"run": 3})
        (outcome,) = await restored.write(registration.register_files, "ctao", [new], at=9.0)
        assert outcome.file_id > IDS_SKIPPED  # none of the ids that somebody may have seen
        assert await restored.read(catalogue_read.last_change, "ctao") > IDS_SKIPPED
    finally:
        await restored.close()
