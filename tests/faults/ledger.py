"""A store after a campaign, compared with what pilots and submitters were told."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from .crowd import Truth


def audit(
    data: Path, submitted: Mapping[str, Sequence[int]], truth: Truth, *, done: bool = True
) -> list[str]:
    """Return everything that is lost or counted twice; with `done` all jobs must be Done."""
    connection = sqlite3.connect(f"file:{data / 'store.sqlite'}?mode=ro", uri=True)
    try:
        return [
            *(row[0] for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"),
            *_submissions(connection, submitted),
            *_results(connection, truth),
            *(_not_done(connection) if done else ()),
            *truth.overlaps(),
        ]
    finally:
        connection.close()


def _submissions(
    connection: sqlite3.Connection, submitted: Mapping[str, Sequence[int]]
) -> Iterable[str]:
    rows = connection.execute("SELECT key, complete, ranges FROM submission")
    stored = {key: (complete, ranges) for key, complete, ranges in rows}
    jobs = {row[0] for row in connection.execute("SELECT job_id FROM job")}
    for key, ids in submitted.items():
        if key not in stored or not stored[key][0]:
            yield f"lost: submission {key}"
            continue
        ranges = msgspec.json.decode(stored[key][1])
        if [job for first, count in ranges for job in range(first, first + count)] != list(ids):
            yield f"submission {key}: {ranges}, acknowledged were {ids}"
        if not jobs.issuperset(ids):
            yield f"lost: jobs of {key}"
    expected = sum(len(ids) for ids in submitted.values())
    if len(jobs) != expected:
        yield f"{len(jobs)} jobs, acknowledged were {expected}"


def _results(connection: sqlite3.Connection, truth: Truth) -> Iterable[str]:
    counted = {
        (job, epoch)
        for job, epoch in connection.execute("SELECT job_id, epoch FROM attempt WHERE how='exited'")
    }
    for job, epoch in sorted(truth.acknowledged - counted):
        yield f"lost: the result of job {job}, epoch {epoch}"
    twice = "SELECT job_id, round FROM attempt WHERE how='exited' GROUP BY 1, 2 HAVING count(*) > 1"
    for job, round_ in connection.execute(twice):
        yield f"counted twice: job {job}, round {round_}"


def _not_done(connection: sqlite3.Connection) -> Iterable[str]:
    for job, state in connection.execute("SELECT job_id, state FROM job WHERE state <> 'Done'"):
        yield f"job {job} is {state}"
    alive = "SELECT job_id, epoch FROM attempt WHERE live = 1"
    for job, epoch in connection.execute(alive):
        yield f"attempt {epoch} of job {job} is still live"
