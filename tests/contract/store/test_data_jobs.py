"""The contract of jobs with data: what they read, and what is published with their result."""

import msgspec
import pytest

from pilotage.central.catalogue import (
    record_datasets as dataset_records,
    record_files as file_records,
    record_read as catalogue_read,
    record_registration as registration,
)
from pilotage.central.catalogue.record_types import JobInput, NewFile, NewReplica
from pilotage.central.dispatch import record as turn_records
from pilotage.central.jobs import record as job_records, record_submissions as submission_records
from pilotage.central.jobs.record_types import AttemptResult, NewJob, Publication
from pilotage.central.store.engine import Store
from pilotage.proto.catalogue import Did, FileState
from pilotage.proto.job_states import JobState
from tests import turns

from .conftest import Reopen
from .rows import (
    a_class,
    a_requeue,
    a_submission,
    a_want,
    an_attempt,
    an_end,
    matched,
    state_of,
    waiting_jobs,
)

S = JobState
COMMUNITY = "ctao"


def a_file(name: str, *, job: int, epoch: int = 1, sha: str = "0", dataset: str = "") -> NewFile:
    return NewFile(
        did=Did("users", name),
        bytes=7,
        adler32="00000001",
        sha256=sha * 64,
        metadata={"run": 7},
        replicas=(NewReplica(storage="web", path=f"ctao/{job}/{epoch}/{name}"),),
        datasets=(Did("users", dataset),) if dataset else (),
        job_id=job,
        epoch=epoch,
    )


def publishing(end: AttemptResult, *files: NewFile) -> AttemptResult:
    refused = msgspec.structs.replace(
        end, new=S.FAILED, failed=True, event="payload_failed", reason="not published: "
    )
    publication = Publication(community=COMMUNITY, files=files, refused=refused)
    return msgspec.structs.replace(end, publication=publication)


async def dids(store: Store, *names: str) -> list[bool]:
    found = await store.read(
        catalogue_read.files_by_did, COMMUNITY, [Did("users", name) for name in names]
    )
    return [one is not None for one in found]


async def test_what_a_job_reads_is_kept_with_its_row(store: Store, reopen: Reopen) -> None:
    inputs = (JobInput(0, 5), JobInput(2, 3), JobInput(2, 9))
    kind = await a_class(store)
    jobs = [
        NewJob(class_id=kind.class_id, body=b"{}", inputs=inputs),
        NewJob(class_id=kind.class_id, body=b"{}"),
    ]
    record = await store.write(submission_records.submit, a_submission(kind), jobs)
    first = record.ranges[0][0]
    again = await reopen(store)

    assert await again.read(catalogue_read.inputs_of_job, first) == list(inputs)
    assert await again.read(catalogue_read.inputs_of_job, first + 1) == []
    assert await again.read(catalogue_read.inputs_of_jobs, [first, first + 1]) == {first: [5, 3, 9]}


async def test_a_result_publishes_its_files(store: Store, reopen: Reopen) -> None:
    (job,) = await waiting_jobs(store, 1)
    end = publishing(
        an_end(await matched(store, job), job),
        a_file("a", job=job, dataset="set"),
        a_file("b", job=job),
    )

    assert await turns.change(store, [end]) == [True]
    assert await turns.change(store, [end]) == [False]
    again = await reopen(store)
    made = await again.read(catalogue_read.files_of_jobs, [job], limit=9)
    copies = await again.read(catalogue_read.replicas_of, [one.file_id for one in made])
    assert [(str(one.did), one.job_id, one.epoch) for one in made] == [
        ("users:a", job, 1),
        ("users:b", job, 1),
    ]
    assert [one.path for copy in copies.values() for one in copy] == [
        f"ctao/{job}/1/a",
        f"ctao/{job}/1/b",
    ]
    assert await state_of(again, job) is S.DONE
    assert end.publication is not None and end.publication.clash == ""


async def test_a_name_with_other_bytes_fails_the_job_and_publishes_nothing(store: Store) -> None:
    first, second = await waiting_jobs(store, 2)
    one = publishing(an_end(await matched(store, first), first), a_file("a", job=first))
    other = publishing(
        an_end(await matched(store, second), second),
        a_file("new", job=second, dataset="newset"),
        a_file("a", job=second, sha="1"),
    )

    assert await turns.change(store, [one, other]) == [True, True]
    assert [await state_of(store, job) for job in (first, second)] == [S.DONE, S.FAILED]
    assert await dids(store, "a", "new") == [True, False]
    assert await store.read(dataset_records.dataset, COMMUNITY, Did("users", "newset")) is None
    row = await store.read(job_records.job, second)
    assert row is not None
    assert row.reason.startswith("not published: users:a: ")
    assert row.failures == 1
    assert other.publication is not None
    assert other.publication.as_refused().reason == row.reason
    assert other.publication.as_refused().new is S.FAILED


async def test_the_same_bytes_are_one_more_copy(store: Store) -> None:
    first, second = await waiting_jobs(store, 2)
    one = publishing(an_end(await matched(store, first), first), a_file("a", job=first))
    copy = msgspec.structs.replace(
        a_file("a", job=second), replicas=(NewReplica(storage="tape", path="a"),)
    )
    await turns.change(store, [one, publishing(an_end(await matched(store, second), second), copy)])

    (row,) = await store.read(catalogue_read.files_by_did, COMMUNITY, [Did("users", "a")])
    assert row is not None
    copies = (await store.read(catalogue_read.replicas_of, [row.file_id]))[row.file_id]
    assert [one.storage for one in copies] == ["tape", "web"]
    assert (row.job_id, await state_of(store, second)) == (first, S.DONE)


async def test_a_removed_file_stays_removed_whatever_is_stored_of_it_later(store: Store) -> None:
    first, second = await waiting_jobs(store, 2)
    one = publishing(an_end(await matched(store, first), first), a_file("a", job=first))
    late = publishing(
        an_end(await matched(store, second), second),
        a_file("b", job=second),
        a_file("a", job=second),
    )
    await turns.change(store, [one])
    await store.write(file_records.remove_files, COMMUNITY, [Did("users", "a")], at=1.0)
    await turns.change(store, [late])

    (row,) = await store.read(catalogue_read.files_by_did, COMMUNITY, [Did("users", "a")])
    job = await store.read(job_records.job, second)
    assert row is not None and row.state is FileState.REMOVED
    assert job is not None and job.state is S.FAILED
    assert "an existing file: this one was removed" in job.reason
    assert await dids(store, "b") == [False]


@pytest.mark.parametrize(
    ("sha", "owner_id", "metadata", "is_taken"),
    [
        ("", 1, {}, False),  # Adler-32 alone: anybody can make a file that has it
        ("0" * 64, 1, {}, True),
        ("0" * 64, 1, {"run": 8}, False),
        ("", 3, {"run": 8}, True),  # it is one's own
    ],
)
async def test_a_copy_of_somebody_elses_file_must_be_surely_that_file(
    store: Store, sha: str, owner_id: int, metadata: dict[str, int], is_taken: bool
) -> None:
    (job,) = await waiting_jobs(store, 1)
    theirs = msgspec.structs.replace(
        a_file("a", job=9), sha256=sha, owner_id=3, metadata={}, job_id=None, epoch=None
    )
    await store.write(registration.register_files, COMMUNITY, [theirs], at=1.0)
    mine = msgspec.structs.replace(
        a_file("a", job=job),
        owner_id=owner_id,
        own=True,
        metadata=metadata,
        replicas=(NewReplica(storage="tape", path="a"),),
    )
    await turns.change(store, [publishing(an_end(await matched(store, job), job), mine)])

    (row,) = await store.read(catalogue_read.files_by_did, COMMUNITY, [Did("users", "a")])
    assert row is not None and row.sha256 == ("0" * 64 if is_taken else sha)
    assert (
        len((await store.read(catalogue_read.replicas_of, [row.file_id]))[row.file_id])
        == 1 + is_taken
    )
    assert await state_of(store, job) is (S.DONE if is_taken else S.FAILED)


async def test_what_does_not_count_publishes_nothing(store: Store) -> None:
    killed, late, gone = await waiting_jobs(store, 3)
    attempt = await matched(store, killed)
    await store.write(job_records.want, [a_want(attempt, killed)])
    zombie = await matched(store, late)
    await turns.change(store, [a_requeue(zombie, late)])
    await matched(store, late, 2)
    ends = [
        publishing(an_end(attempt, killed), a_file("killed", job=killed)),
        publishing(an_end(zombie, late), a_file("zombie", job=late, dataset="z")),
        publishing(an_end(10_000, gone), a_file("nobody", job=gone)),
    ]

    assert await turns.change(store, ends) == [False, False, False]
    assert await dids(store, "killed", "zombie", "nobody") == [False] * 3
    assert await store.read(dataset_records.dataset, COMMUNITY, Did("users", "z")) is None
    assert await store.read(catalogue_read.last_change, COMMUNITY) == 0


async def test_what_was_undone_is_made_by_the_next_one(store: Store) -> None:
    """Names, keys and sets that a lost result had learnt are not taken for known."""
    first, second = await waiting_jobs(store, 2)
    lost = publishing(an_end(10_000, first), a_file("a", job=first, dataset="s"))
    good = publishing(
        an_end(await matched(store, second), second), a_file("a", job=second, dataset="s")
    )

    assert await turns.change(store, [lost, good]) == [False, True]
    (row,) = await store.read(catalogue_read.files_by_did, COMMUNITY, [Did("users", "a")])
    assert row is not None and row.metadata == {"run": 7} and row.job_id == second
    assert await store.read(catalogue_read.datasets_of, [row.file_id]) == {
        row.file_id: [Did("users", "s")]
    }


async def test_an_end_and_a_match_share_a_turn(store: Store) -> None:
    first, second = await waiting_jobs(store, 2)
    end = publishing(an_end(await matched(store, first), first), a_file("a", job=first))
    next_id = await store.write(job_records.reserve_attempts, 1)
    won, bodies = await store.write(turn_records.turn, [end], [an_attempt(next_id, second)])

    assert won == [True] and bodies[0] is not None
    assert await dids(store, "a") == [True]
