"""Short ways to the records that tests of the store hand in, and to jobs in a wanted position."""

from collections.abc import Sequence

import msgspec

from pilotage.central.identity import record as identity_records
from pilotage.central.identity.record_types import Owner
from pilotage.central.identity.sessions.rows import LoginSession, SessionKind
from pilotage.central.jobs import record as job_records, record_submissions as submission_records
from pilotage.central.jobs.record_types import (
    AttemptResult,
    AttemptWant,
    JobClassRow,
    JobMove,
    NewAttempt,
    NewJob,
    NewSubmission,
    Requeue,
    SubmissionRecord,
)
from pilotage.central.pilots.record_types import NewSecret, Registration
from pilotage.central.store.engine import Store
from pilotage.central.store.session import Session
from pilotage.matcher.types import Grant
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import How, Output, Usage, Why
from tests import turns

IAM = "https://iam.test/"
NOW = 1_000.0
USAGE = Usage(wall_s=12.5, cpu_s=11.25, memory_peak_mb=480.0, bytes_out=2_000)


def email_of(session: Session, issuer: str, subject: str) -> str:
    """Return the address that is kept of a person, as a copy of the store has it."""
    found = {(row[0], row[1]): row[3] for row in session.rows("all_of_person")}
    return str(found.get((issuer, subject), ""))


async def a_class(
    store: Store, *, community: str = "ctao", subject: str = "ada", group: str = "sim",
    type: str = "User", needs: bytes = b"[]", issuer: str = "local",
) -> JobClassRow:  # fmt: skip
    owner = await store.write(
        identity_records.owner, Owner(community=community, issuer=issuer, subject=subject)
    )
    wanted = JobClassRow(
        community=community, group=group, owner_id=owner.owner_id, type=type, needs=needs
    )
    (class_id,) = await store.write(submission_records.classes, [wanted])
    return JobClassRow(
        class_id=class_id,
        community=community,
        group=group,
        owner_id=owner.owner_id,
        type=type,
        needs=needs,
    )


def a_submission(kind: JobClassRow, key: str = "key", **fields: object) -> NewSubmission:
    given: dict[str, object] = {
        "community": kind.community,
        "owner_id": kind.owner_id,
        "key": key,
        "body_hash": "hash",
        "name": "a campaign",
        "template": b'{"command":["true"],"name":"shower"}',
        "at": 10.0,
    }
    return NewSubmission(**{**given, **fields})  # type: ignore[arg-type]


def some_jobs(kind: JobClassRow, count: int, **fields: object) -> list[NewJob]:
    return [
        NewJob(class_id=kind.class_id, body=b'{"i":%d}' % i, **fields)  # type: ignore[arg-type]
        for i in range(count)
    ]


async def submitted(
    store: Store, kind: JobClassRow, count: int, key: str = "key", **fields: object
) -> SubmissionRecord:
    return await store.write(
        submission_records.submit, a_submission(kind, key), some_jobs(kind, count, **fields)
    )


async def waiting_jobs(store: Store, count: int, **fields: object) -> list[int]:
    """Return the ids of new jobs that wait."""
    record = await submitted(store, await a_class(store), count, "key", **fields)
    return [job_id for first, many in record.ranges for job_id in range(first, first + many)]


def an_attempt(attempt_id: int, job_id: int, epoch: int = 1, **fields: object) -> NewAttempt:
    given: dict[str, object] = {
        "class_id": 1,
        "pilot": "pilot-1",
        "session": 1,
        "ask": 4,
        "site": "PIC",
        "element": "slurm",
        "host": "node1",
        "grant": Grant(2, 4_000, 80_000, 3_600.0, 3, 2.5, {"licence.matlab": 2, "shm_mb": 512}),
        "lease_s": 90.0,
        "at": 20.0,
    }
    rest = {**given, **fields}
    return NewAttempt(attempt_id=attempt_id, job_id=job_id, epoch=epoch, **rest)  # type: ignore[arg-type]


async def matched(store: Store, job_id: int, epoch: int = 1, **fields: object) -> int:
    """Match a job; return the attempt's id."""
    attempt_id = await store.write(job_records.reserve_attempts, 1)
    known = (await store.write(job_records.standing, [job_id])).get(job_id)
    fields = {"class_id": known.class_id if known is not None else 0, **fields}
    (body,) = await turns.match(store, [an_attempt(attempt_id, job_id, epoch, **fields)])
    assert body is not None, f"job {job_id} was not to be had"
    return attempt_id


def an_end(
    attempt_id: int, job_id: int, epoch: int = 1, *, new: JobState = JobState.DONE,
    failed: bool = False, at: float = 40.0, outputs: Sequence[Output] = (),
) -> AttemptResult:  # fmt: skip
    return AttemptResult(
        attempt_id=attempt_id,
        job_id=job_id,
        epoch=epoch,
        new=new,
        at=at,
        event="payload_failed" if failed else "succeeded",
        reason="exit code 3" if failed else "",
        failed=failed,
        how=How.EXITED,
        exit_code=3 if failed else 0,
        detail="",
        isolation="bwrap",
        usage=USAGE,
        outputs=tuple(outputs),
        started_at=21.0,
    )


def a_requeue(
    attempt_id: int, job_id: int, epoch: int = 1, *, new: JobState = JobState.WAITING,
    close: bool = False, wanted: Why | None = None, lost: bool = True, how: How | None = None,
    **fields: object,
) -> Requeue:  # fmt: skip
    given: dict[str, object] = {"at": 30.0, "event": "lease_over", "reason": "no beat for 120 s"}
    return Requeue(
        attempt_id=attempt_id,
        job_id=job_id,
        epoch=epoch,
        new=new,
        close=close,
        wanted=wanted,
        lost=lost,
        how=how,
        **{**given, **fields},  # type: ignore[arg-type]
    )


def a_move(job_id: int, old: JobState, new: JobState, **fields: object) -> JobMove:
    given: dict[str, object] = {"at": 50.0, "event": "killed", "who": "ada", "reason": "by hand"}
    return JobMove(job_id=job_id, old=old, new=new, **{**given, **fields})  # type: ignore[arg-type]


def a_want(attempt_id: int, job_id: int, wanted: Why = Why.KILL) -> AttemptWant:
    return AttemptWant(
        attempt_id=attempt_id, job_id=job_id, wanted=wanted, at=25.0, who="ada", reason="enough"
    )


async def state_of(store: Store, job_id: int) -> JobState:
    return (await store.write(job_records.standing, [job_id]))[job_id].state


def a_secret(n: int, **fields: object) -> NewSecret:
    plain = NewSecret(
        secret_hash=f"hash-{n}",
        pilot=f"pilot-{n}",
        community="ctao",
        site="PIC",
        element="slurm",
        expires_at=100.0,
        made_by="ada",
        at=1.0,
    )
    return msgspec.structs.replace(plain, **fields)


def a_registration(n: int = 1, **fields: object) -> Registration:
    plain = Registration(
        secret_hash=f"hash-{n}",
        nonce="nonce",
        renewal_hash="renewal",
        host="node1",
        node=b'{"cores":8}',
        at=2.0,
    )
    return msgspec.structs.replace(plain, **fields)


def a_session(name: str, **fields: object) -> LoginSession:
    """Return a session of alice."""
    given: dict[str, object] = {
        "session": name,
        "kind": SessionKind.COMMAND,
        "provider": "iam",
        "issuer": IAM,
        "subject": "alice",
        "name": "Alice",
        "email": "",
        "community": "ctao",
        "groups": ("prod",),
        "role": "user",
        "host": "",
        "address": "",
        "created_at": NOW,
        "ends_at": NOW + 100.0,
        "used_at": NOW,
        "checked_at": NOW,
        "refresh": f"sealed {name}",
    }
    return LoginSession(**{**given, **fields})  # type: ignore[arg-type]
