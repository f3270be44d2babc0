"""Writes about data that belong to jobs: inputs, published files, swept remnants."""

from collections.abc import Callable, Sequence

from ..catalogue.record_registration import publish
from ..catalogue.record_remnants import add_leftovers, end_marked
from ..catalogue.record_types import INPUT_FILES_MAX
from ..catalogue.remnants import sweep_of_key
from ..rucio.outbox_record import put_outgoing
from ..store.session import Session, json_list
from .record_types import AttemptResult, NewJob


def keep_inputs(session: Session, first: int, jobs: Sequence[NewJob]) -> None:
    """Store the inputs of jobs with consecutive ids. They are kept for ever."""
    rows = [
        (job_id, one.number * INPUT_FILES_MAX + place, one.file_id)
        for job_id, job in enumerate(jobs, first)
        if job.inputs
        for place, one in enumerate(job.inputs)
    ]
    if rows:
        session.many("insert_job_input", rows)


def end_with_files(
    session: Session, end: AttemptResult, write: Callable[[AttemptResult], bool]
) -> tuple[AttemptResult, bool]:
    """Write a result, publish its files and put them in the outbox.

    Return the written result and whether it won.

    `write` is the compare-and-set of the result. If it loses, nothing is published. If the
    catalogue refuses the files, the job fails.
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
    if won and publication.outgoing and not publication.clash:
        ids = [outcome.file_id for outcome in outcomes]
        put_outgoing(
            session, publication.community, end.job_id, publication.outgoing, ids, at=end.at
        )
    if not won:
        session.run("undo_publication")
        session.forget()  # the names that it cached were rolled back
    elif publication.leftovers and not publication.clash:
        add_leftovers(session, publication.leftovers, at=end.at)
    session.run("end_publication")
    return end, won


def keep_storing(session: Session, first: int, jobs: Sequence[NewJob]) -> None:
    """Store the target storages of jobs with consecutive ids."""
    rows = [(job_id, json_list(job.stores)) for job_id, job in enumerate(jobs, first) if job.stores]
    if rows:
        session.many("insert_storing", rows)


def sweep_with_result(
    session: Session, end: AttemptResult, write: Callable[[AttemptResult], bool]
) -> bool:
    """Write a result and what it reports about its remnants; return whether it won."""
    assert end.swept is not None
    if not write(end):
        return False
    found = session.one("key_of_job", {"job_id": end.job_id})
    sweep_id = sweep_of_key(found[0]) if found is not None else None
    if sweep_id is not None:
        end_marked(session, sweep_id, end.swept, at=end.at)
    return True
