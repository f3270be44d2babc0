"""Writes of new jobs: their classes and submissions."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import Final

import msgspec

from ..accounts.record_quotas import charge_jobs, discharge_jobs
from ..store.engine import CHUNK_MAX, Store, weighs
from ..store.errors import KeyReused, StillArriving, SubmissionDropped
from ..store.opening import removes_unfinished
from ..store.session import Session, json_list
from .record_data import keep_inputs, keep_storing
from .record_dependencies import keep_dependencies
from .record_rows import class_of, submission_of
from .record_token_classes import keep_token_classes
from .record_types import JobClassRow, NewJob, NewSubmission, SubmissionRecord

MANY_RUNS: Final = 16  # runs of equal jobs in one chunk; with more, rows are written one by one
BODIES_BYTES_MAX: Final = 1 << 20  # bytes of bodies in one statement

Ranges = list[tuple[int, int]]


def classes(session: Session, wanted: Sequence[JobClassRow]) -> list[int]:
    """Return the class id of each row, found by all its other fields. Store new classes."""
    ids: list[int] = []
    for one in wanted:
        fields = msgspec.structs.asdict(one)
        found = session.one("get_class", fields)
        if found is None:
            session.run("insert_class", fields)
            found = session.one("get_class", fields)
        ids.append(found[0])
    return ids


def live_classes(session: Session) -> list[JobClassRow]:
    """Return the classes with waiting, matched or running jobs."""
    return [class_of(row) for row in session.rows("live_classes", {})]


def classes_given(session: Session, class_ids: Sequence[int]) -> list[JobClassRow]:
    """Return the classes with these ids, in order of the id."""
    given = {"ids": json_list(class_ids)}
    return [class_of(row) for row in session.rows("classes_given", given)]


def begin(session: Session, new: NewSubmission) -> SubmissionRecord:
    """Return the submission with this key: a new one, or the existing one as `repeated`.

    The commit of an existing one may not be replicated yet. Locking its row makes this a writing
    transaction, so its own commit waits for the earlier commit.
    """
    fields = msgspec.structs.asdict(new)
    known = session.one("hold_submission_by_key", fields)
    if known is not None:
        return msgspec.structs.replace(submission_of(known), repeated=True)
    fields["submission_id"] = session.reserve("submission")
    session.run("insert_submission", fields)
    if new.notify:
        session.run("follow_submission", fields)
    return get(session, fields["submission_id"])


def submit(session: Session, new: NewSubmission, jobs: Sequence[NewJob]) -> SubmissionRecord:
    """Store a complete submission of at most CHUNK_MAX jobs in one transaction.

    If (community, owner, key) is known with the same body, return the first submission as
    `repeated`. Raises KeyReused for another body, and StillArriving if the first one is unfinished.
    """
    record = begin(session, new)
    if record.repeated:
        if not record.complete:
            raise StillArriving(record.submission_id, new.key)
        if record.body_hash != new.body_hash:
            raise KeyReused(new.key)
        return record
    if jobs:
        append(session, record.submission_id, jobs)
    session.arrived(record.submission_id)
    return _finish(session, record.submission_id, new.body_hash)


def begin_submission(session: Session, new: NewSubmission) -> SubmissionRecord:
    """Open a submission that arrives in chunks. Its jobs stay invisible until it is finished.

    If the key is known, return the first submission as `repeated`, complete or not. The bodies
    cannot be compared yet, because the hash comes with the end.
    """
    record = begin(session, new)
    if not record.repeated:
        session.arriving(record.submission_id)
    return record


def add_jobs(session: Session, submission_id: int, jobs: Sequence[NewJob]) -> int:
    """Append at most CHUNK_MAX jobs; return the first of their consecutive ids.

    Raises ValueError for a longer chunk. Raises SubmissionDropped if the submission accepts no more
    jobs, because it was deleted, abandoned or completed.
    """
    session.still_arriving(submission_id)
    return append(session, submission_id, jobs)


def append(session: Session, submission_id: int, jobs: Sequence[NewJob]) -> int:
    """Append jobs to an arriving submission; return the first of their ids."""
    if len(jobs) > CHUNK_MAX:
        raise ValueError(f"the chunk has {len(jobs)} jobs: the maximum is {CHUNK_MAX}")
    ranges = _arriving(session, submission_id)
    first = session.reserve("job", len(jobs))
    charge_jobs(session, [job.class_id for job in jobs], before=sum(count for _, count in ranges))
    _insert_jobs(session, submission_id, first, jobs)
    _insert_bodies(session, first, jobs)
    keep_inputs(session, first, jobs)
    keep_storing(session, first, jobs)
    with_tokens = {job.class_id for job in jobs if job.has_tokens}
    if with_tokens:
        keep_token_classes(session, with_tokens)
    zones = Counter((job.class_id, job_id >> 10) for job_id, job in enumerate(jobs, first))
    session.many("fill_zone", [(*key, count) for key, count in zones.items()])
    if ranges and sum(ranges[-1]) == first:
        ranges[-1] = (ranges[-1][0], ranges[-1][1] + len(jobs))
    else:
        ranges.append((first, len(jobs)))
    keep_dependencies(session, first, jobs, ranges)
    _set_ranges(session, submission_id, ranges)
    return first


def _insert_jobs(session: Session, submission_id: int, first: int, jobs: Sequence[NewJob]) -> None:
    """Write the rows of jobs. Runs of equal jobs, which are usual, need one statement each.

    Matches wait until a chunk is written, and each step of a statement may wait until the event
    loop releases the interpreter lock. So few statements are better.
    """
    runs = [(kind, len(list(run))) for kind, run in groupby(jobs, _kind)]
    if len(runs) > MANY_RUNS:
        rows = [(job_id, submission_id, *_kind(job)) for job_id, job in enumerate(jobs, first)]
        session.many("insert_job", rows)
        return
    for kind, count in runs:
        session.run("insert_jobs_alike", (first, count, submission_id, *kind))
        first += count


def _kind(job: NewJob) -> tuple[int, int, int, float | None]:
    return (job.class_id, job.priority, job.retries, job.queue_until)


def _insert_bodies(session: Session, first: int, jobs: Sequence[NewJob]) -> None:
    """Write the bodies of jobs, short ones without names in one statement."""
    texts = _texts(jobs)
    if texts is None:
        rows = [(i, _name(job, i), job.body) for i, job in enumerate(jobs, first)]
        session.many("insert_body", rows)
    else:
        session.run("insert_bodies", (first, json_list(texts)))


def _name(job: NewJob, job_id: int) -> str | None:
    if job.name is None or not job.id_placeholder:
        return job.name
    return job.name.replace(job.id_placeholder, str(job_id))


def _texts(jobs: Sequence[NewJob]) -> list[str] | None:
    """Return the bodies as texts, or None if one has a name, or is too long or not a text."""
    if any(job.name is not None for job in jobs):
        return None
    whole = b"".join([job.body for job in jobs])
    if len(whole) > BODIES_BYTES_MAX or b"\0" in whole:
        return None
    try:
        return [job.body.decode() for job in jobs]
    except UnicodeDecodeError:
        return None


def finish_submission(session: Session, submission_id: int, body_hash: str) -> SubmissionRecord:
    """Make all jobs of the submission visible, in state Waiting.

    `body_hash` is known only now, because the body was streamed. A complete submission does not
    change. Raises SubmissionDropped if the submission was deleted or abandoned.
    """
    if session.ends_arriving(submission_id):
        session.arrived(submission_id)
        return _finish(session, submission_id, body_hash)
    record = get(session, submission_id)
    if not record.complete:
        raise SubmissionDropped(submission_id)
    return record


def _finish(session: Session, submission_id: int, body_hash: str) -> SubmissionRecord:
    fields = {"submission_id": submission_id, "body_hash": body_hash}
    session.run("finish_submission", fields)
    return get(session, submission_id)


def submission(session: Session, submission_id: int) -> SubmissionRecord | None:
    """Return a submission, or None if it does not exist."""
    found = session.one("get_submission", {"submission_id": submission_id})
    return None if found is None else submission_of(found)


def ranges_of(session: Session, submission_ids: Sequence[int]) -> dict[int, Ranges]:
    """Return the ranges of ids (first, count) of submissions, in the order of their jobs."""
    found = session.rows("ranges_of", {"ids": json_list(submission_ids)})
    return {row[0]: _decode(row[1]) for row in found}


def submission_by_key(
    session: Session, community: str, owner_id: int, key: str
) -> SubmissionRecord | None:
    """Return an owner's submission with a key, or None."""
    fields = {"community": community, "owner_id": owner_id, "key": key}
    found = session.one("get_submission_by_key", fields)
    return None if found is None else submission_of(found)


def get(session: Session, submission_id: int) -> SubmissionRecord:
    found = session.one("get_submission", {"submission_id": submission_id})
    if found is None:
        raise SubmissionDropped(submission_id)
    return submission_of(found)


async def drop_submission(store: Store, submission_id: int) -> None:
    """Remove an unfinished submission and its jobs. Its key can be used again, its ids cannot."""
    while await store.write(drop_some, submission_id):
        pass


@weighs(2 * CHUNK_MAX)
def drop_some(session: Session, submission_id: int) -> bool:
    """Remove at most one chunk of an unfinished submission; return whether more is left.

    Small steps do not delay other writes. After an interruption, the next start removes the rest.
    """
    session.ends_arriving(submission_id)
    found = session.one("get_arriving_ranges", {"submission_id": submission_id})
    if found is None:
        return False
    ranges = _decode(found[0])
    if not ranges:
        session.run("remove_submission", {"submission_id": submission_id})
        return False
    first, count = ranges.pop()
    taken = min(count, CHUNK_MAX)
    if count > taken:
        ranges.append((first, count - taken))
    span = {"first": first + count - taken, "last": first + count - 1}
    discharge_jobs(session, session.rows("classes_of_jobs", span))
    for statement in (
        "empty_zones",
        "remove_jobs",
        "remove_bodies",
        "remove_job_inputs",
        "remove_storing",
        "remove_dependents",
        "remove_dependencies",
    ):
        session.run(statement, span)
    _set_ranges(session, submission_id, ranges)
    return True


@removes_unfinished
def drop_unfinished(session: Session) -> bool:
    """Remove one chunk of the unfinished submissions; return whether more is left."""
    arriving = session.rows("arriving_submissions")
    return any(drop_some(session, submission_id) for (submission_id,) in arriving)


def _arriving(session: Session, submission_id: int) -> Ranges:
    found = session.one("get_arriving_ranges", {"submission_id": submission_id})
    if found is None:
        raise SubmissionDropped(submission_id)
    return _decode(found[0])


def _set_ranges(session: Session, submission_id: int, ranges: Ranges) -> None:
    text = msgspec.json.encode(ranges).decode()
    session.run("set_ranges", {"submission_id": submission_id, "ranges": text})


def _decode(text: str) -> Ranges:
    return msgspec.json.decode(text, type=list[tuple[int, int]])
