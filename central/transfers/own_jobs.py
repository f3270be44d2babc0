"""Jobs that the central submits for the owners of files: transfers and sweeps."""

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

FAR: Final = 1e12  # expiry of a token that never expires
PATIENCE_S: Final = 3_600.0  # a job that waits longer no longer takes room of its storage


class JobCourse(NamedTuple):
    """The progress of a job."""

    is_open: bool
    why: str = ""  # why an ended job failed; empty if it succeeded
    takes_room: bool = False  # it counts towards the jobs that its storage has at once


class JobSubmitter(Protocol):
    """The service that accepts submissions."""

    async def submit(self, caller: User, body: Submission, /, *, body_hash: str) -> Submitted: ...


async def submit_one(
    submits: JobSubmitter, owner: Owner, group: str, job: Job, *, key: str, name: str
) -> int:
    """Submit a job and return its id. Its key makes this idempotent.

    Raises Refused.
    """
    body = Submission(key=key, name=name, jobs=[msgspec.Raw(msgspec.json.encode(job))])
    body_hash = hashlib.sha256(msgspec.json.encode(body)).hexdigest()
    submitted = await submits.submit(caller_of(owner, group), body, body_hash=body_hash)
    return submitted.ids[0].first


def caller_of(owner: Owner, group: str) -> User:
    """Return the user that submits jobs for an owner in a group."""
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
    """Return the progress of a job by its row, or by None if it was deleted.

    `now` is the wall clock. A held job counts as failed, so that its transfer or sweep is retried.
    A job that has waited for an hour takes no room, so that it does not block others.
    """
    if job is None:
        return JobCourse(is_open=False, why=f"job {job_id} was deleted")
    if job.state is JobState.HELD:
        return JobCourse(is_open=False, why=f"job {job_id} is held")
    if job.state is JobState.DONE:
        return JobCourse(is_open=False)
    if job.state in FINAL:
        return JobCourse(is_open=False, why=f"job {job_id}: {job.reason or job.state.value}")
    waits = job.state is JobState.WAITING and now - job.submitted_at >= PATIENCE_S
    return JobCourse(is_open=True, takes_room=not waits)
