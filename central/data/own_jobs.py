"""Jobs that the central submits for those whose files they handle: transfers and sweeps."""

import hashlib
from typing import Final, Protocol

import msgspec

from pilotage.proto.api import Submission, Submitted
from pilotage.proto.claims import Role
from pilotage.proto.job import Job
from pilotage.proto.job_states import FINAL, JobState

from ..auth.callers import User
from ..store.protocol import Store
from ..store.records import Owner

FAR: Final = 1e12  # wall clock at which no token has run out


class Submits(Protocol):
    """What takes jobs in."""

    async def submit(self, caller: User, body: Submission, /, *, body_hash: str) -> Submitted: ...


async def submit_one(
    submits: Submits, owner: Owner, group: str, job: Job, *, key: str, name: str
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


async def how_ended(store: Store, job_id: int) -> str | None:
    """Return why a job failed; empty: it did not, None: it has not ended."""
    job = await store.job(job_id)
    if job is None:
        return f"job {job_id} is gone"
    if job.state not in FINAL:
        return None
    return "" if job.state is JobState.DONE else f"job {job_id}: {job.reason or job.state.value}"
