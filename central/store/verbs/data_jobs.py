"""What jobs read, and the files that their results publish."""

from collections.abc import Callable, Sequence

from ..data_jobs import FILES_MAX
from ..records import End, JobInput, NewJob
from .catalogue_write import publish
from .session import Session


def inputs_of_job(session: Session, job_id: int) -> list[JobInput]:
    """Return what a job reads, in its order, each with the number of the input it is of."""
    rows = session.rows("inputs_of_job", {"job_id": job_id})
    return [JobInput(row[0] // FILES_MAX, row[1]) for row in rows]


def keep_inputs(session: Session, first: int, jobs: Sequence[NewJob]) -> None:
    """Note what jobs with consecutive ids read; it stays for ever."""
    rows = [
        (job_id, one.number * FILES_MAX + place, one.file_id)
        for job_id, job in enumerate(jobs, first)
        if job.inputs
        for place, one in enumerate(job.inputs)
    ]
    if rows:
        session.many("insert_job_input", rows)


def end_with_files(session: Session, end: End, write: Callable[[End], bool]) -> tuple[End, bool]:
    """Write a result with what it publishes; return what was written, and whether it won.

    `write` is its compare-and-set. What loses publishes nothing, and where the catalogue does not
    take the files the job fails.
    """
    publication = end.publication
    assert publication is not None
    session.run("begin_publication")
    outcomes = publish(session, publication.community, publication.files, at=end.at)
    clashes = [
        f"{file.did}: {outcome.clash}"
        for file, outcome in zip(publication.files, outcomes, strict=True)
        if outcome.clash is not None
    ]
    publication.clash = clashes[0] if clashes else ""
    if publication.clash:
        end = publication.as_refused()
    won = write(end)
    if not won:
        session.run("undo_publication")
        session.forget()  # names that it had learnt are not there any more
    session.run("end_publication")
    return end, won
