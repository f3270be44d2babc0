"""Small things of the domain with sensible defaults, for tests."""

from pilotage.central.identity.scope import CountKey
from pilotage.central.jobs.leases import Lease, LeasePhase
from pilotage.central.jobs.record_types import JobStanding
from pilotage.matcher.types import Grant
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import How, Report, Usage, What, Why

KIND = CountKey("ctao", "dpps", "maria", "User")
GRANT = Grant(cores=1, memory_mb=1_000, scratch_mb=0, wall_s=600.0)


def a_lease(
    *,
    job: int = 7,
    epoch: int = 1,
    pilot: str = "p1",
    ask: int = 1,
    started: bool = True,
    wanted: Why | None = None,
    phase: LeasePhase = LeasePhase.LIVE,
    retries: int = 0,
    failures: int = 0,
    losses: int = 0,
    deadline: float = 120.0,
    grant: Grant = GRANT,
) -> Lease:
    """Return an attempt as the dispatch keeps it."""
    return Lease(
        attempt_id=100 + job,
        job=job,
        epoch=epoch,
        class_id=1,
        priority=5,
        kind=KIND,
        pilot=pilot,
        session=1,
        ask=ask,
        site="PIC",
        element="ce1",
        grant=grant,
        matched=0.0,
        retries=retries,
        failures=failures,
        losses=losses,
        started=started,
        wanted=wanted,
        deadline=deadline,
        phase=phase,
    )


def an_ended(
    *,
    job: int = 7,
    epoch: int = 1,
    how: How = How.EXITED,
    exit_code: int | None = 0,
    detail: str = "",
) -> Report:
    """Return a pilot's last report of an attempt."""
    return Report(
        job=job,
        epoch=epoch,
        attempt_id=100 + job,
        n=2,
        what=What.ENDED,
        how=how,
        exit_code=exit_code,
        detail=detail,
        usage=Usage(wall_s=1.0),
    )


def a_standing(
    *,
    state: JobState = JobState.WAITING,
    live: bool = False,
    wanted: Why | None = None,
    epoch: int = 0,
) -> JobStanding:
    """Return where a job stands."""
    return JobStanding(
        job_id=7,
        state=state,
        epoch=epoch,
        round=1,
        class_id=1,
        priority=5,
        retries=0,
        failures=0,
        losses=0,
        queue_until=None,
        attempt_id=107 if live else None,
        live=live,
        wanted=wanted,
        deleted=False,
        pilot="p1" if live else None,
        session=1 if live else None,
    )
