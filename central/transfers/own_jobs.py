"""Jobs that the central submits for those whose files they handle: transfers and sweeps."""

import hashlib
from typing import Final, NamedTuple, Protocol

import msgspec

from pilotage.proto.api.jobs import Submission, Submitted
from pilotage.proto.claims import Role
from pilotage.proto.documents.job import Job
from pilotage.proto.job_states import FINAL, JobState

from ..identity.callers import User
from ..identity.record_types import Owner
from ..jobs.record_types import JobRow

FAR: Final = 1e12  # wall clock at which no token has run out
PATIENCE_S: Final = 3_600.0  # for a job that waits, after which others go beside it


class JobCourse(NamedTuple):
    """How far a job is."""

    is_open: bool
    why: str = ""  # one that has ended brings nothing; empty: it has done its work
    takes_room: bool = False  # of those that its storage has at once


class JobSubmitter(Protocol):
    """What takes jobs in."""

    async def submit(self, caller: User, body: Submission, /, *, body_hash: str) -> Submitted: ...


async def submit_one(
    submits: JobSubmitter, owner: Owner, group: str, job: Job, *, key: str, name: str
) -> int:
    """Submit a job and return its id; with its key it is the same one, however often.

    Raises Refused.
    """
    body = Submission(key=key, name=name, jobs=[msgspec.Raw(msgspec.json.encode(job))])
    body_hash = hashlib.sha256(msgspec.json.encode(body)).hexdigest()
    submitted = await submits.submit(caller_of(owner, group), body, body_hash=body_hash)
    return submitted.ids[0].first


def caller_of(owner: Owner, group: str) -> User:
    """Return for whom such jobs run."""
    return User(
        issuer=owner.issuer,
        subject=owner.subject,
        name=owner.name,
        community=owner.community,
        groups=(group,),
        role=Role.USER,
        expires_at=FAR,
        jti="",
    )


def course(job_id: int, job: JobRow | None, now: float) -> JobCourse:
    """Say how far a job is by its row; None: it is gone. `now` is on the wall clock.

    One that is held ends: who holds it keeps the bytes waiting. One that nobody takes for an hour,
    for whatever limit or need of its owner's, stops no others.
    """
    if job is None:
        return JobCourse(is_open=False, why=f"job {job_id} is gone")
    if job.state is JobState.HELD:
        return JobCourse(is_open=False, why=f"job {job_id} is held")
    if job.state is JobState.DONE:
        return JobCourse(is_open=False)
    if job.state in FINAL:
        return JobCourse(is_open=False, why=f"job {job_id}: {job.reason or job.state.value}")
    waits = job.state is JobState.WAITING and now - job.submitted_at >= PATIENCE_S
    return JobCourse(is_open=True, takes_room=not waits)
