"""Remnants: found in the store alone, marked once nobody names them, forgotten with a result."""

import asyncio
from collections.abc import Sequence

import pytest

from pilotage.central.catalogue import (
    record_files as file_records,
    record_read as catalogue_read,
    record_registration as registration,
    record_remnants as remnant_records,
)
from pilotage.central.catalogue.record_types import (
    MetadataChange,
    NewFile,
    NewReplica,
    ReplicaChange,
)
from pilotage.central.catalogue.remnants import (
    AWAY_S,
    HELD_S,
    SWEEP_MAX,
    RemnantCount,
    RemnantRow,
    SweepResult,
    SweepRow,
    above,
    sweep_key,
    sweep_of_key,
)
from pilotage.central.identity import record as identity_records
from pilotage.central.identity.record_types import Owner
from pilotage.central.jobs import (
    record as job_records,
    record_retention as retention_records,
    record_submissions as submission_records,
)
from pilotage.central.jobs.record_types import (
    AttemptResult,
    JobClassRow,
    JobMove,
    NewJob,
    NewSubmission,
    Publication,
)
from pilotage.central.store.engine import Store
from pilotage.proto.catalogue import Did, FileState, RemnantState, ReplicaState
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import How, Usage
from tests import turns

from .conftest import NOW, Reopen
from .rows import a_requeue, matched

LATER = NOW + 100.0


async def an_owner(store: Store) -> Owner:
    return await store.write(
        identity_records.owner, Owner(community="ctao", issuer="here", subject="ada", name="Ada")
    )


def a_file(owner: Owner, name: str, *places: str, size: int = 7) -> NewFile:
    """Return a file with copies given as STORAGE/PATH."""
    copies = [place.split("/", 1) for place in places]
    return NewFile(
        did=Did("users", name),
        bytes=size,
        adler32=f"{sum(name.encode()):08x}",
        replicas=tuple(NewReplica(storage=where, path=path) for where, path in copies),
        owner_id=owner.owner_id,
    )


async def removed(store: Store, *files: NewFile, at: float = NOW) -> None:
    """Register files and take them out of the catalogue again."""
    for outcome in await store.write(registration.register_files, "ctao", files, at=NOW):
        assert outcome.clash is None
    for outcome in await store.write(
        file_records.remove_files, "ctao", [one.did for one in files], at=at
    ):
        assert outcome.clash is None


async def all_of(store: Store, before: float = LATER) -> list[RemnantRow]:
    return await store.read(remnant_records.remnants, before=before, after=0, limit=1_000)


async def a_job(
    store: Store, owner: Owner, *, key: str = "work", stores: Sequence[str] = ()
) -> tuple[int, int]:
    """Return a job that waits, and its class."""
    kind = JobClassRow(
        community="ctao", group="users", owner_id=owner.owner_id, type="any", needs=b"[]"
    )
    (class_id,) = await store.write(submission_records.classes, [kind])
    new = NewSubmission(
        community="ctao",
        owner_id=owner.owner_id,
        key=key,
        body_hash=key,
        name="",
        template=None,
        at=NOW,
    )
    job = NewJob(class_id=class_id, body=b"{}", stores=tuple(stores))
    record = await store.write(submission_records.submit, new, [job])
    return record.ranges[0][0], class_id


def an_end(attempt_id: int, job_id: int, epoch: int, **more: object) -> AttemptResult:
    ids = {"attempt_id": attempt_id, "job_id": job_id, "epoch": epoch}
    ended = {"new": JobState.DONE, "at": LATER, "event": "payload_done", "failed": False}
    how = {"how": How.EXITED, "exit_code": 0, "reason": "", "detail": "", "isolation": ""}
    fields: dict[str, object] = {**ids, **ended, **how, "usage": Usage(), "outputs": (), **more}
    return AttemptResult(**fields)  # type: ignore[arg-type]


async def given_to(store: Store, sweep: SweepRow) -> tuple[int, int]:
    """Submit a sweep's job and start it; return the job and its attempt."""
    job_id, _ = await a_job(store, sweep.owner, key=sweep_key(sweep.sweep_id))
    await store.write(remnant_records.sweep_job, sweep.sweep_id, job_id)
    return job_id, await matched(store, job_id, 1)


async def swept(store: Store, sweep: SweepRow, *, failed: Sequence[int] = ()) -> list[RemnantRow]:
    """Let the job of a sweep remove all but these, and return what it had."""
    job_id, attempt_id = await given_to(store, sweep)
    rows = await store.read(remnant_records.remnants_of_job, job_id)
    told = SweepResult(
        gone=tuple(one.remnant_id for one in rows if one.remnant_id not in failed),
        failed=tuple((one, "no right") for one in failed),
        after_s=10.0,
    )
    assert await turns.change(store, [an_end(attempt_id, job_id, 1, swept=told)]) == [True]
    return rows


async def ordered(store: Store, before: float = LATER, storage: str = "pic") -> list[SweepRow]:
    return await store.write(
        remnant_records.order_sweeps, storage, before, at=LATER, limit=SWEEP_MAX, most=9
    )


def test_a_sweep_is_known_by_a_key_that_nobody_else_can_have() -> None:
    assert sweep_of_key(sweep_key(17)) == 17
    assert len(sweep_key(17)) == 201
    for other in ("sweep-17", "transfer-17-0".ljust(201, "."), "sweep-x".ljust(201, ".")):
        assert sweep_of_key(other) is None


def test_a_path_lies_below_all_folders_above_it() -> None:
    assert above("a/b/c") == ["a/b/c", "a/b", "a"]
    assert above("a") == ["a"]


async def test_copies_of_removed_files_are_remnants(store: Store, reopen: Reopen) -> None:
    ada = await an_owner(store)
    await removed(store, a_file(ada, "one", "pic/ctao/1", "cscs/ctao/x"), a_file(ada, "none"))
    await store.write(
        registration.register_files, "ctao", [a_file(ada, "live", "pic/ctao/2")], at=NOW
    )
    store = await reopen(store)
    rows = await all_of(store)

    assert [(row.storage, row.path, row.bytes, row.since) for row in sorted(rows, key=_place)] == [
        ("cscs", "ctao/x", 7, NOW),
        ("pic", "ctao/1", 7, NOW),
    ]
    assert {(row.state, row.group, row.owner_id, row.is_folder) for row in rows} == {
        (RemnantState.WAITING, "users", ada.owner_id, False)
    }
    assert await all_of(store, NOW - 1) == []
    assert await store.read(remnant_records.is_remnant_due, "pic", NOW)
    assert not await store.read(remnant_records.is_remnant_due, "pic", NOW - 1)
    assert not await store.read(remnant_records.is_remnant_due, "elsewhere", LATER)


def _place(row: RemnantRow) -> tuple[str, str]:
    return row.storage, row.path


async def test_a_store_that_was_just_made_or_restored_lets_nothing_go(store: Store) -> None:
    """What a backup calls removed somebody may have had back since."""
    ada = await an_owner(store)
    await removed(store, a_file(ada, "one", "pic/ctao/1"), at=NOW - 500)

    assert not await store.read(remnant_records.is_remnant_due, "pic", NOW - 1)
    assert await ordered(store, NOW - 1) == []
    assert await store.read(remnant_records.is_remnant_due, "pic", NOW)
    assert len(await ordered(store, NOW)) == 1


async def test_a_sweep_takes_what_is_due_of_one_storage_and_forgets_what_is_gone(
    store: Store, reopen: Reopen
) -> None:
    ada = await an_owner(store)
    await removed(
        store, a_file(ada, "one", "pic/ctao/1", "cscs/ctao/x"), a_file(ada, "two", "pic/ctao/2")
    )
    await removed(store, a_file(ada, "young", "pic/ctao/3"), at=LATER + 1)
    (sweep,) = await ordered(store)
    again = await ordered(store)
    store = await reopen(store)
    (known,) = await store.read(remnant_records.open_sweeps)
    counted = await store.read(remnant_records.remnant_counts)
    rows = await swept(store, known)
    one, two, _ = await store.read(
        catalogue_read.files_by_did, "ctao", [Did("users", n) for n in ("one", "two", "x")]
    )
    assert one is not None and two is not None
    copies = await store.read(catalogue_read.replicas_of, [one.file_id, two.file_id])

    assert again == [] and known == sweep
    assert (sweep.storage, sweep.community, sweep.group) == ("pic", "ctao", "users")
    assert sweep.owner == ada and sweep.job_id is None
    assert [row.path for row in rows] == ["ctao/1", "ctao/2"]
    assert [copy.storage for copy in copies[one.file_id]] == ["cscs"]
    assert two.file_id not in copies
    assert {row.state for row in (one, two)} == {FileState.REMOVED}
    assert await store.read(remnant_records.open_sweeps) == []
    assert [(row.storage, row.path) for row in sorted(await all_of(store, 1e9), key=_place)] == [
        ("cscs", "ctao/x"),
        ("pic", "ctao/3"),
    ]
    pic = RemnantCount(storage="pic", community="ctao", waiting=3, waiting_bytes=21, sweeping=2)
    assert counted[1] == pic
    assert (await store.read(remnant_records.remnant_counts))[1] == RemnantCount(
        storage="pic", community="ctao", waiting=1, waiting_bytes=7, gone=2, gone_bytes=14
    )


async def test_bytes_that_nobody_can_have_are_counted_up_to_a_bound(
    store: Store, reopen: Reopen
) -> None:
    ada, most = await an_owner(store), 2**53 - 1
    files = [a_file(ada, f"{i}", f"pic/ctao/{i}", size=most) for i in range(1_031)]
    for some in files[:1_000], files[1_000:]:
        await removed(store, *some)
    store = await reopen(store)
    (waiting,) = await store.read(remnant_records.remnant_counts)
    while sweeps := await ordered(store):
        for sweep in sweeps:
            await swept(store, sweep)
    (gone,) = await store.read(remnant_records.remnant_counts)
    await removed(store, a_file(ada, "new", "pic/ctao/new"))
    (new,) = await store.read(remnant_records.remnant_counts)

    assert waiting == RemnantCount(
        storage="pic", community="ctao", waiting=1_031, waiting_bytes=most
    )
    assert isinstance(waiting.waiting_bytes, int) and isinstance(gone.gone_bytes, int)
    assert gone == RemnantCount(storage="pic", community="ctao", gone=1_031, gone_bytes=most)
    assert (new.waiting_bytes, new.gone_bytes) == (7, most), "it is counted anew"


async def test_two_that_sweep_at_once_have_no_remnant_in_common(store: Store) -> None:
    ada = await an_owner(store)
    await removed(store, *(a_file(ada, f"f{n}", f"pic/ctao/{n}") for n in range(20)))
    async with asyncio.TaskGroup() as tasks:
        orders = [tasks.create_task(ordered(store)) for _ in range(6)]
    sweeps = [sweep for order in orders for sweep in order.result()]

    assert len(sweeps) == 1
    assert {row.sweep_id for row in await all_of(store)} == {sweeps[0].sweep_id}


async def test_a_path_that_a_file_names_is_held(store: Store) -> None:
    ada = await an_owner(store)
    gone = [a_file(ada, name, f"pic/ctao/{name}") for name in ("same", "below", "young", "alone")]
    await removed(store, *gone)
    live = [a_file(ada, "a", "pic/ctao/same"), a_file(ada, "b", "pic/ctao/below/deep/b")]
    beside = [a_file(ada, "c", "cscs/ctao/other"), a_file(ada, "d", "pic/ctao/alone.d")]
    for outcome in await store.write(registration.register_files, "ctao", [*live, *beside], at=NOW):
        assert outcome.clash is None
    await removed(store, a_file(ada, "e", "pic/ctao/young"), at=LATER + 1)
    listed = [row for row in await all_of(store) if row.storage == "pic"]
    found = await store.read(remnant_records.names_of_remnants, listed, LATER)
    names = {remnant_id: name for remnant_id, name in found.items() if name}
    (sweep,) = await ordered(store)
    again = await ordered(store)
    rows = await swept(store, sweep)
    held = {row.path: row.why for row in await all_of(store, 1e9) if row.storage == "pic"}

    assert [row.path for row in rows] == ["ctao/alone"]
    assert names == {
        row.remnant_id: name
        for row in listed
        for name in {"ctao/same": "users:a", "ctao/below": "users:b", "ctao/young": "users:e"}.get(
            row.path, ""
        ).split()
        if row.since < LATER
    }
    assert list(found) == [row.remnant_id for row in listed]
    assert again == []
    assert held["ctao/same"].startswith("users:a")
    assert held["ctao/below"].startswith("users:b")
    assert held["ctao/young"].startswith("users:e") or held["ctao/young"] == ""
    await store.write(file_records.remove_files, "ctao", [one.did for one in live], at=LATER)
    (late,) = await ordered(store, LATER + HELD_S)
    assert {row.path for row in await swept(store, late)} == {
        "ctao/same",
        "ctao/below",
        "ctao/below/deep/b",
        "ctao/young",
    }


async def test_the_copies_of_other_communities_count_too(store: Store) -> None:
    ada = await an_owner(store)
    await removed(store, a_file(ada, "one", "pic/shared/1"))
    await store.write(
        registration.register_files, "lhcb", [a_file(ada, "theirs", "pic/shared/1")], at=NOW
    )

    assert await ordered(store) == []


async def test_a_file_that_is_registered_again_keeps_its_bytes(store: Store) -> None:
    ada = await an_owner(store)
    one = a_file(ada, "one", "pic/ctao/1", "cscs/ctao/1")
    await removed(store, one)
    (back,) = await store.write(
        registration.register_files, "ctao", [a_file(ada, "one", "pic/ctao/1")], at=NOW
    )

    assert back.changed
    assert await all_of(store) == []
    assert await ordered(store) == []
    assert [one.waiting for one in await store.read(remnant_records.remnant_counts)] in ([0, 0], [])
    (file,) = await store.read(catalogue_read.files_by_did, "ctao", [one.did])
    assert file is not None and file.state is FileState.AVAILABLE


async def test_a_copy_that_is_gone_by_somebodys_word_is_no_remnant(store: Store) -> None:
    ada = await an_owner(store)
    one = a_file(ada, "one", "pic/ctao/1", "cscs/ctao/1")
    await removed(store, one)
    gone = ReplicaChange(did=one.did, storage="pic", state=None)
    await store.write(file_records.change_replicas, "ctao", [gone], at=NOW)

    assert [row.storage for row in await all_of(store)] == ["cscs"]


async def test_nothing_may_name_what_is_swept_not_even_when_it_is_gone(
    store: Store, reopen: Reopen
) -> None:
    ada = await an_owner(store)
    one, other = a_file(ada, "one", "pic/ctao/1"), a_file(ada, "other", "cscs/ctao/o")
    await removed(store, one)
    await store.write(registration.register_files, "ctao", [other], at=NOW)
    (sweep,) = await ordered(store)
    store = await reopen(store)
    named = [
        one,
        a_file(ada, "new", "pic/ctao/1"),
        a_file(ada, "too", "pic/ctao/1"),
        a_file(ada, "beside", "pic/ctao/1.b", "cscs/ctao/1.b"),
    ]
    said = await store.write(registration.register_files, "ctao", named, at=NOW)
    put = ReplicaChange(did=other.did, storage="pic", state=ReplicaState.AVAILABLE, path="ctao/1")
    (refused,) = await store.write(file_records.change_replicas, "ctao", [put], at=NOW)
    await swept(store, sweep)
    (late,) = await store.write(registration.register_files, "ctao", [one], at=NOW)

    for outcome in said[:3]:
        assert outcome.clash is not None and outcome.clash.field == "replicas.path"
    assert said[0].clash is not None
    assert "ctao/1" in said[0].clash.value and "another path" in said[0].clash.right
    assert said[3].clash is None and said[3].new
    assert refused.clash is not None and refused.clash.field == "path"
    assert late.clash is not None
    assert await store.write(remnant_records.forget_gone, LATER - 1, limit=10) == 0
    assert await store.write(remnant_records.forget_gone, LATER, limit=10) == 1
    (back,) = await store.write(registration.register_files, "ctao", [one], at=NOW)
    assert back.clash is None and back.changed


async def test_a_result_cannot_publish_what_is_swept(store: Store) -> None:
    ada = await an_owner(store)
    await removed(store, a_file(ada, "one", "pic/ctao/g/7/1/out"))
    job_id, _ = await a_job(store, ada)
    attempt_id = await matched(store, job_id, 1)
    await ordered(store)
    refused = an_end(attempt_id, job_id, 1, new=JobState.FAILED, failed=True, reason="no: ")
    files = (a_file(ada, "late", "pic/ctao/g/7/1/out"),)
    publication = Publication(community="ctao", files=files, refused=refused)
    won = await turns.change(store, [an_end(attempt_id, job_id, 1, publication=publication)])
    job = await store.read(job_records.job, job_id)

    assert won == [True]
    assert job is not None and job.state is JobState.FAILED
    assert "another path" in job.reason
    assert await store.read(catalogue_read.files_by_did, "ctao", [Did("users", "late")]) == [None]


async def test_a_file_that_is_back_elsewhere_loses_the_copy_that_is_swept(store: Store) -> None:
    ada = await an_owner(store)
    one = a_file(ada, "one", "pic/ctao/1")
    await removed(store, one)
    (sweep,) = await ordered(store)
    (back,) = await store.write(
        registration.register_files, "ctao", [a_file(ada, "one", "cscs/ctao/c")], at=NOW
    )
    bad = ReplicaChange(did=one.did, storage="cscs", state=ReplicaState.BAD)
    await store.write(file_records.change_replicas, "ctao", [bad], at=NOW)
    healed = ReplicaChange(did=one.did, storage="pic", state=ReplicaState.AVAILABLE)
    (refused,) = await store.write(file_records.change_replicas, "ctao", [healed], at=NOW)
    (before,) = await store.read(catalogue_read.files_by_did, "ctao", [one.did])
    await swept(store, sweep)
    (after,) = await store.read(catalogue_read.files_by_did, "ctao", [one.did])
    copies = await store.read(catalogue_read.replicas_of, [back.file_id])

    assert refused.clash is not None and refused.clash.field == "path"
    assert before is not None and before.state is FileState.MISSING
    assert after is not None and after.state is FileState.LOST
    assert after.seq > before.seq
    assert [copy.storage for copy in copies[back.file_id]] == ["cscs"]


async def test_what_could_not_be_removed_stays_marked_and_is_tried_again_later(
    store: Store,
) -> None:
    ada = await an_owner(store)
    await removed(store, a_file(ada, "one", "pic/ctao/1"), a_file(ada, "two", "pic/ctao/2"))
    first, second = await all_of(store)
    (sweep,) = await ordered(store)
    await swept(store, sweep, failed=[second.remnant_id])
    (left,) = await all_of(store, 1e9)
    (count,) = await store.read(remnant_records.remnant_counts)
    none_yet = await ordered(store, LATER + 60.0 - 10.0 - 1)
    (again,) = await ordered(store, LATER + 60.0 - 10.0)
    ends = [(again.sweep_id, "its job was killed"), (sweep.sweep_id, "too late: it has ended")]
    ended = await store.write(remnant_records.end_sweeps, ends, at=LATER, after_s=10.0)
    (twice,) = await all_of(store, 1e9)

    assert first.path == "ctao/1"
    assert (left.state, left.failures, left.why) == (RemnantState.SWEEPING, 1, "no right")
    assert (count.waiting, count.failing, count.gone) == (1, 1, 1)
    assert none_yet == []
    assert ended == [again.sweep_id]
    assert (twice.failures, twice.why) == (2, "its job was killed")
    assert await ordered(store, LATER + 240.0 - 10.0 - 1) == []
    (third,) = await ordered(store, LATER + 240.0 - 10.0)
    await swept(store, third)
    (count,) = await store.read(remnant_records.remnant_counts)
    assert (count.waiting, count.failing, count.gone) == (0, 0, 2)
    (name,) = await store.write(
        registration.register_files, "ctao", [a_file(ada, "x", "pic/ctao/2")], at=NOW
    )
    assert name.clash is not None


@pytest.mark.parametrize(("went", "pause_s"), [(True, 0.0), (False, AWAY_S)])
async def test_what_was_not_tried_has_not_failed_and_is_the_first_next_time(
    store: Store, went: bool, pause_s: float
) -> None:
    ada = await an_owner(store)
    await removed(store, *[a_file(ada, f"{n}", f"pic/ctao/{n}") for n in range(3)])
    (sweep,) = await ordered(store)
    job_id, attempt_id = await given_to(store, sweep)
    first, second, third = [
        row.remnant_id for row in await store.read(remnant_records.remnants_of_job, job_id)
    ]
    told = SweepResult(
        gone=(third,) if went else (),
        failed=((first, "HTTP 423"),),
        untried=((second, "not tried"),) if went else ((second, "not tried"), (third, "not tried")),
        after_s=10.0,
    )
    await turns.change(store, [an_end(attempt_id, job_id, 1, swept=told)])
    left = {row.remnant_id: (row.failures, row.why) for row in await all_of(store, 1e9)}
    (count,) = await store.read(remnant_records.remnant_counts)
    none_yet = await ordered(store, LATER + min(pause_s, 60.0) - 10.0 - 1)
    (again,) = await ordered(store, LATER + max(pause_s, 60.0) - 10.0)
    next_job, _ = await given_to(store, again)
    order = [row.remnant_id for row in await store.read(remnant_records.remnants_of_job, next_job)]

    expected = {first: (1, "HTTP 423"), second: (0, "not tried")}
    assert left == (expected if went else {**expected, third: (0, "not tried")})
    assert (count.waiting, count.failing, count.gone) == (2, 1, 1) if went else (3, 1, 0)
    assert none_yet == []
    assert order == ([second, first] if went else [second, third, first])


async def test_a_result_that_says_nothing_of_a_remnant_has_not_removed_it(store: Store) -> None:
    ada = await an_owner(store)
    await removed(store, a_file(ada, "one", "pic/ctao/1"))
    (sweep,) = await ordered(store)
    job_id, attempt_id = await given_to(store, sweep)
    (row,) = await store.read(remnant_records.remnants_of_job, job_id)
    told = SweepResult(gone=(row.remnant_id + 1,), after_s=0.0)
    await turns.change(store, [an_end(attempt_id, job_id, 1, swept=told)])
    (left,) = await all_of(store, 1e9)

    assert left.failures == 1 and left.sweep_id is None


async def test_a_lost_attempt_changes_nothing_and_the_next_one_removes_the_rest(
    store: Store, reopen: Reopen
) -> None:
    ada = await an_owner(store)
    await removed(store, a_file(ada, "one", "pic/ctao/1"))
    (sweep,) = await ordered(store)
    job_id, lost = await given_to(store, sweep)
    requeue = a_requeue(lost, job_id)
    await turns.change(store, [requeue])
    store = await reopen(store)
    second = await matched(store, job_id, 2)
    (row,) = await store.read(remnant_records.remnants_of_job, job_id)
    told = SweepResult(gone=(row.remnant_id,))
    late = await turns.change(store, [an_end(lost, job_id, 1, swept=told)])
    still = await all_of(store)
    won = await turns.change(store, [an_end(second, job_id, 2, swept=told)])
    again = await turns.change(store, [an_end(second, job_id, 2, swept=told)])
    (count,) = await store.read(remnant_records.remnant_counts)

    assert late == [False] and len(still) == 1
    assert won == [True] and again == [False]
    assert (count.waiting, count.gone) == (0, 1)


async def test_only_the_job_of_a_sweep_has_its_remnants(store: Store) -> None:
    ada = await an_owner(store)
    await removed(store, a_file(ada, "one", "pic/ctao/1"))
    (sweep,) = await ordered(store)
    (row,) = await all_of(store)
    job_id, _ = await a_job(store, ada, key=f"sweep-{sweep.sweep_id}")
    attempt_id = await matched(store, job_id, 1)
    theirs = await store.read(remnant_records.remnants_of_job, job_id)
    told = SweepResult(gone=(row.remnant_id,))
    await turns.change(store, [an_end(attempt_id, job_id, 1, swept=told)])

    assert theirs == []
    assert [one.sweep_id for one in await all_of(store)] == [sweep.sweep_id]


async def test_the_attempts_of_ended_jobs_leave_their_folders(store: Store) -> None:
    ada = await an_owner(store)
    done, _ = await a_job(store, ada, key="done", stores=("pic", "cscs"))
    failed, _ = await a_job(store, ada, key="failed", stores=("pic",))
    waits, _ = await a_job(store, ada, key="waits", stores=("pic",))
    plain, _ = await a_job(store, ada, key="plain")
    for job_id, ends in ((done, JobState.DONE), (failed, JobState.FAILED), (plain, JobState.DONE)):
        for epoch in (1, 2):
            attempt_id = await matched(store, job_id, epoch)
            new = JobState.WAITING if epoch == 1 else ends
            assert await turns.change(store, [an_end(attempt_id, job_id, epoch, new=new)]) == [True]
    await matched(store, waits, 1)
    ended, further = await store.read(remnant_records.storing_after, 0, limit=10)
    first = await store.read(remnant_records.storing_after, 0, limit=1)
    count = await store.write(remnant_records.look_at_storing, [done, failed, waits, plain])
    again = await store.write(remnant_records.look_at_storing, [done, failed])
    rows = sorted(await all_of(store), key=_place)
    own = store.generation[:8]

    assert (ended, further) == ([done, failed], None)
    assert first == ([done], done)
    assert (count, again) == (4, 0)
    assert [(row.storage, row.path) for row in rows] == [
        ("cscs", f"ctao/{own}/{done}/1"),
        ("pic", f"ctao/{own}/{done}/1"),
        ("pic", f"ctao/{own}/{failed}/1"),
        ("pic", f"ctao/{own}/{failed}/2"),
    ]
    assert {(row.is_folder, row.bytes, row.since, row.group) for row in rows} == {
        (True, 0, LATER, "users")
    }
    assert await store.read(remnant_records.storing_after, 0, limit=10) == ([], None)


async def test_a_folder_in_which_a_file_lies_is_held(store: Store) -> None:
    ada = await an_owner(store)
    job_id, _ = await a_job(store, ada, stores=("pic",))
    attempt_id = await matched(store, job_id, 1)
    await turns.change(store, [an_end(attempt_id, job_id, 1, new=JobState.FAILED)])
    await store.write(remnant_records.look_at_storing, [job_id])
    (row,) = await all_of(store)
    await store.write(
        registration.register_files,
        "ctao",
        [a_file(ada, "kept", f"pic/{row.path}/kept")],
        at=NOW,
    )

    assert await ordered(store) == []


async def test_what_may_still_count_leaves_nothing(store: Store) -> None:
    ada = await an_owner(store)
    job_id, _ = await a_job(store, ada, stores=("pic",))
    await matched(store, job_id, 1)

    assert await store.read(remnant_records.storing_after, 0, limit=10) == ([], None)
    assert await store.write(remnant_records.look_at_storing, [job_id]) == 0


async def test_a_job_that_is_opened_again_is_looked_at_again(store: Store) -> None:
    ada = await an_owner(store)
    job_id, _ = await a_job(store, ada, stores=("pic",))
    attempt_id = await matched(store, job_id, 1)
    await turns.change(store, [an_end(attempt_id, job_id, 1, new=JobState.FAILED)])
    first = await store.write(remnant_records.look_at_storing, [job_id])
    again = JobMove(
        job_id=job_id,
        old=JobState.FAILED,
        new=JobState.WAITING,
        at=NOW,
        event="rescheduled",
        who="ada",
        new_round=True,
    )
    assert await store.write(job_records.move, [again]) == [True]
    none_yet = await store.write(remnant_records.look_at_storing, [job_id])
    attempt_id = await matched(store, job_id, 2)
    await turns.change(store, [an_end(attempt_id, job_id, 2, new=JobState.FAILED)])

    assert (first, none_yet) == (1, 0)
    assert await store.read(remnant_records.storing_after, 0, limit=10) == ([job_id], None)
    assert await store.write(remnant_records.look_at_storing, [job_id]) == 1
    assert {row.path.rpartition("/")[2] for row in await all_of(store)} == {"1", "2"}


async def test_a_job_that_goes_leaves_its_folders(store: Store) -> None:
    ada = await an_owner(store)
    job_id, _ = await a_job(store, ada, stores=("pic",))
    attempt_id = await matched(store, job_id, 1)
    await turns.change(store, [an_end(attempt_id, job_id, 1, new=JobState.FAILED)])
    await store.write(retention_records.prune_jobs, [(job_id, LATER)])

    assert len(await all_of(store)) == 1
    assert await store.read(remnant_records.storing_after, 0, limit=10) == ([], None)


async def test_remnants_are_found_by_file_by_storage_and_page_by_page(store: Store) -> None:
    ada = await an_owner(store)
    files = [a_file(ada, f"f{n}", f"pic/ctao/{n}", f"cscs/ctao/{n}") for n in range(3)]
    await removed(store, *files)
    (file,) = await store.read(catalogue_read.files_by_did, "ctao", [files[1].did])
    assert file is not None
    page = await store.read(remnant_records.remnants, storage="pic", before=LATER, after=0, limit=2)
    rest = await store.read(
        remnant_records.remnants, storage="pic", before=LATER, after=page[-1].remnant_id, limit=2
    )

    assert [row.path for row in (*page, *rest)] == ["ctao/0", "ctao/1", "ctao/2"]
    assert (
        await store.read(remnant_records.remnants, community="lhcb", before=LATER, after=0, limit=2)
        == []
    )
    assert {
        row.storage for row in await store.read(remnant_records.remnants_of_files, [file.file_id])
    } == {
        "pic",
        "cscs",
    }
    with pytest.raises(ValueError, match="too many"):
        await store.write(
            remnant_records.order_sweeps, "pic", LATER, at=LATER, limit=SWEEP_MAX + 1, most=9
        )


async def test_each_sweep_is_of_one_owner_and_there_are_no_more_than_asked_for(
    store: Store,
) -> None:
    owners = [
        await store.write(
            identity_records.owner, Owner(community="ctao", issuer="here", subject=f"s{n}")
        )
        for n in range(3)
    ]
    await removed(
        store, *(a_file(one, f"f{n}", f"pic/ctao/{n}") for n, one in enumerate(owners * 2))
    )
    first, rest = [
        await store.write(
            remnant_records.order_sweeps, "pic", LATER, at=LATER, limit=SWEEP_MAX, most=2
        )
        for _ in range(2)
    ]

    assert [sweep.owner for sweep in (*first, *rest)] == owners
    assert [len(await swept(store, sweep)) for sweep in (*first, *rest)] == [2, 2, 2]


async def test_a_change_of_metadata_leaves_a_remnant_alone(store: Store) -> None:
    ada = await an_owner(store)
    one = a_file(ada, "one", "pic/ctao/1")
    await removed(store, one)
    change = MetadataChange(did=one.did, metadata={"run": 1})
    await store.write(file_records.set_metadata, "ctao", [change])

    assert len(await all_of(store)) == 1
