"""The inputs of jobs, and the folders for the files that their results publish."""

from typing import Final

from ..store.session import Session
from .record_types import JobInput

FILES_MAX: Final = 100_000  # for each input of a job
GENERATION_SHOWN: Final = 8  # characters of it in paths


def folder_of(community: str, generation: str, job: int, epoch: int) -> str:
    """Return the folder that belongs to one attempt, below each storage's URL.

    Two centrals may share a storage, and a restored central uses job ids again. The generation
    of the store keeps their folders apart.
    """
    return f"{community}/{generation[:GENERATION_SHOWN]}/{job}/{epoch}"


def inputs_of_job(session: Session, job_id: int) -> list[JobInput]:
    """Return the input files of a job in order, each with the number of its input."""
    rows = session.rows("inputs_of_job", {"job_id": job_id})
    return [JobInput(row[0] // FILES_MAX, row[1]) for row in rows]
