"""What the store in memory keeps of jobs."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pilotage.central.store.protocol import CHUNK_MAX
from pilotage.central.store.records import (
    AttemptRow,
    Evidence,
    JobClass,
    NewJob,
    Note,
    Owner,
    SubmissionRecord,
)
from pilotage.proto.job_states import JobState


@dataclass
class Job:
    """A job's row."""

    job_id: int
    submission_id: int
    new: NewJob
    priority: int
    state: JobState = JobState.WAITING
    round: int = 1
    failures: int = 0
    losses: int = 0
    reason: str = ""
    ended_at: float | None = None
    deleted: bool = False
    attempts: list[int] = field(default_factory=list[int])


@dataclass
class Data:
    """What survives a restart, beside pilots and tokens."""

    generation: str = "fake-1"
    owners: dict[int, Owner] = field(default_factory=dict[int, Owner])
    classes: dict[int, JobClass] = field(default_factory=dict[int, JobClass])
    submissions: dict[int, SubmissionRecord] = field(default_factory=dict[int, SubmissionRecord])
    jobs: dict[int, Job] = field(default_factory=dict[int, Job])
    attempts: dict[int, AttemptRow] = field(default_factory=dict[int, AttemptRow])
    evidence: list[Evidence] = field(default_factory=list[Evidence])
    notes: list[Note] = field(default_factory=list[Note])
    next_submission: int = 1
    next_job: int = 1
    next_attempt: int = 1


def check_chunk(jobs: Sequence[NewJob]) -> None:
    """Refuse more jobs than a transaction takes."""
    if len(jobs) > CHUNK_MAX:
        raise ValueError(f"a chunk of {len(jobs)} jobs is too long: others would wait for it")
