"""What jobs read, and the files that their results publish."""

from typing import Final

from ..store.session import Session
from .record_types import JobInput

FILES_MAX: Final = 100_000  # of one of a job's inputs
GENERATION_SHOWN: Final = 8  # signs of it in paths


def folder_of(community: str, generation: str, job: int, epoch: int) -> str:
    """Return where an attempt stores, below each storage's URL: a place of its own.

    Two centrals may share a storage, and one that was restored gives the ids of jobs anew: what
    tells them apart is the generation of the store.
    """
    return f"{community}/{generation[:GENERATION_SHOWN]}/{job}/{epoch}"


def inputs_of_job(session: Session, job_id: int) -> list[JobInput]:
    """Return what a job reads, in its order, each with the number of the input it is of."""
    rows = session.rows("inputs_of_job", {"job_id": job_id})
    return [JobInput(row[0] // FILES_MAX, row[1]) for row in rows]
