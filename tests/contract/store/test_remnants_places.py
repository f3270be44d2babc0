"""Which paths remnants bar, what a name that moves leaves behind, and what somebody gives up."""

import random

import msgspec
import pytest

from pilotage.central.catalogue import (
    record_files as file_records,
    record_read as catalogue_read,
    record_registration as registration,
    record_remnants as remnant_records,
)
from pilotage.central.catalogue.record_types import NewFile, ReplicaChange
from pilotage.central.catalogue.remnants import HELD_S, NAMES_MAX, RemnantPlace, RemnantRow
from pilotage.central.identity.record_types import Owner
from pilotage.central.jobs import record as job_records
from pilotage.central.jobs.record_types import JobMove, Publication
from pilotage.central.store.engine import Store
from pilotage.proto.catalogue import (
    STORAGE_MAX,
    Did,
    FileState,
    RemnantState,
    ReplicaState,
    check_path,
)
from pilotage.proto.job_states import JobState
from pilotage.proto.storages import PATH_BYTES_MAX
from tests import turns

from .conftest import NOW
from .rows import matched
from .test_remnants import (
    LATER,
    a_file,
    a_job,
    all_of,
    an_end,
    an_owner,
    ordered,
    removed,
    swept,
)


async def registered(store: Store, *files: NewFile) -> list[bool]:
    """Register files one by one; return which of them were taken."""
    said = await store.write(registration.register_files, "ctao", files, at=NOW)
    return [outcome.clash is None for outcome in said]


async def declared(store: Store, did: Did, state: ReplicaState | None) -> bool:
    change = ReplicaChange(did=did, storage="pic", state=state)
    (outcome,) = await store.write(file_records.change_replicas, "ctao", [change], at=LATER)
    assert outcome.clash is None
    return outcome.changed


async def published(store: Store, owner: Owner, *files: NewFile, key: str) -> JobState:
    """Let a job publish these files; return how it ended."""
    job_id, _ = await a_job(store, owner, key=key)
    attempt_id = await matched(store, job_id, 1)
    refused = an_end(attempt_id, job_id, 1, new=JobState.FAILED, failed=True, reason="no: ")
    publication = Publication(community="ctao", files=files, refused=refused)
    await turns.change(store, [an_end(attempt_id, job_id, 1, publication=publication)])
    job = await store.read(job_records.job, job_id)
    assert job is not None
    return job.state


def places(rows: list[RemnantRow]) -> list[str]:
    return sorted(f"{row.storage}/{row.path}" for row in rows)


async def test_a_path_may_be_as_long_as_it_can_be_said(store: Store) -> None:
    chance = random.Random(7)
    path = "ctao/" + "".join(chr(0x20000 + chance.randrange(40_000)) for _ in range(623))
    path += "x" * (PATH_BYTES_MAX - len(path.encode()))
    check_path(path)
    ada, storage = await an_owner(store), "s" * STORAGE_MAX
    await removed(store, a_file(ada, "one", f"{storage}/{path}"))
    (sweep,) = await ordered(store, storage=storage)
    (row,) = await swept(store, sweep)

    assert row.path == path
    assert await store.read(remnant_records.remnants, before=LATER, after=0, limit=9) == []


# -- what is barred -----------------------------------------------------------------------------


async def test_a_file_bars_its_own_path_and_none_below_it(store: Store) -> None:
    """Else a name that somebody registers above those of others stops them all."""
    ada = await an_owner(store)
    await removed(store, a_file(ada, "top", "pic/ctao/raw"))
    (sweep,) = await ordered(store)
    below = a_file(ada, "below", "pic/ctao/raw/deep/1")
    while_it_goes = await registered(store, below, a_file(ada, "same", "pic/ctao/raw"))
    await swept(store, sweep)
    once_gone = await registered(
        store, a_file(ada, "more", "pic/ctao/raw/2"), a_file(ada, "again", "pic/ctao/raw")
    )
    ended = await published(store, ada, a_file(ada, "out", "pic/ctao/raw/1/out"), key="out")

    assert while_it_goes == [True, False]
    assert once_gone == [True, False]
    assert ended is JobState.DONE


@pytest.mark.parametrize("again", [False, True])
async def test_the_folder_of_a_result_that_counted_stays_whatever_happens_to_the_job(
    store: Store, again: bool
) -> None:
    job_id, _ = await a_job(store, await an_owner(store), stores=("pic",))
    attempt_id = await matched(store, job_id, 1)
    end = an_end(attempt_id, job_id, 1, new=JobState.COMPLETING, event="succeeded")
    await turns.change(store, [end])
    new = JobState.WAITING if again else JobState.KILLED
    away = JobMove(
        job_id=job_id,
        old=JobState.COMPLETING,
        new=new,
        at=NOW,
        event="",
        who="ada",
        new_round=again,
    )
    assert await store.write(job_records.move, [away]) == [True]
    if again:
        attempt_id = await matched(store, job_id, 2)
        await turns.change(store, [an_end(attempt_id, job_id, 2, new=JobState.FAILED)])
    await store.write(remnant_records.look_at_storing, [job_id])

    assert [row.path.rpartition("/")[2] for row in await all_of(store)] == ["2"] * again


async def test_a_folder_bars_what_is_below_it(store: Store) -> None:
    ada = await an_owner(store)
    job_id, _ = await a_job(store, ada, stores=("pic",))
    attempt_id = await matched(store, job_id, 1)
    await turns.change(store, [an_end(attempt_id, job_id, 1, new=JobState.FAILED)])
    await store.write(remnant_records.look_at_storing, [job_id])
    (row,) = await all_of(store)
    await removed(store, a_file(ada, "same", f"pic/{row.path}"))  # a file called as the folder is
    assert len(await ordered(store)) == 1

    assert await registered(
        store,
        a_file(ada, "in it", f"pic/{row.path}/kept"),
        a_file(ada, "deep", f"pic/{row.path}/deep/er/kept"),
        a_file(ada, "beside", f"pic/{row.path}.kept"),
    ) == [False, False, True]


async def test_many_names_of_one_place_are_not_all_looked_at(store: Store) -> None:
    """What holds a remnant may be the last of a million: it stays, and nobody waits."""
    ada = await an_owner(store)
    many = [a_file(ada, f"m{n}", f"pic/ctao/many/{n}") for n in range(NAMES_MAX + 1)]
    few = [a_file(ada, f"f{n}", f"pic/ctao/few/{n}") for n in range(NAMES_MAX - 1)]
    tops = [a_file(ada, name, f"pic/ctao/{name}") for name in ("many", "few")]
    for n in range(0, len(many), 200):
        await removed(store, *many[n : n + 200])
    await removed(store, *few)
    await removed(store, *tops, at=NOW - 1)
    rows = [row for row in await all_of(store) if row.path in ("ctao/many", "ctao/few")]
    names = await store.read(remnant_records.names_of_remnants, rows, LATER)
    first = await ordered(store)
    held = {row.path: row for row in await all_of(store, 1e12)}
    while first:
        for sweep in first:
            await swept(store, sweep)
        first = await ordered(store)
    left = places(await all_of(store, 1e12))
    (late,) = await ordered(store, LATER + HELD_S)

    assert [row.path for row in rows if names[row.remnant_id]] == ["ctao/many"]
    assert held["ctao/many"].state is RemnantState.WAITING
    assert held["ctao/many"].why.endswith("uses this path")
    assert left == ["pic/ctao/many"]
    assert [row.path for row in await swept(store, late)] == ["ctao/many"]


async def test_an_order_looks_at_so_many_names_and_the_next_one_at_the_rest(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that takes long has everybody wait who writes."""
    monkeypatch.setattr("pilotage.central.catalogue.record_remnants.LOOKED_MAX", 6)
    ada = await an_owner(store)
    await removed(store, *(a_file(ada, f"f{n}", f"pic/ctao/{n}") for n in range(9)))
    asked = await all_of(store)
    named = await store.read(remnant_records.names_of_remnants, asked, LATER)
    (first,) = await ordered(store)
    rest = await ordered(store)
    rows = [row for sweep in (first, *rest) for row in await swept(store, sweep)]

    assert list(named) == [row.remnant_id for row in asked[:3]]  # a look and a row each
    assert len(rest) == 1
    assert len({row.path for row in rows}) == 6


# -- what moves ---------------------------------------------------------------------------------


def the_same(owner: Owner, path: str) -> NewFile:
    file = a_file(owner, "one", f"pic/{path}")
    return msgspec.structs.replace(file, sha256="ab" * 32)


async def test_a_name_that_is_published_again_leaves_its_first_bytes(store: Store) -> None:
    ada = await an_owner(store)
    for n in (1, 2):
        file = the_same(ada, f"ctao/g/{n}/1")
        assert await published(store, ada, file, key=f"j{n}") is JobState.DONE
    rows = await all_of(store)
    (counted,) = await store.read(remnant_records.remnant_counts)
    (sweep,) = await ordered(store)
    gone = await swept(store, sweep)
    (known,) = await store.read(catalogue_read.files_by_did, "ctao", [Did("users", "one")])
    assert known is not None
    copies = (await store.read(catalogue_read.replicas_of, [known.file_id]))[known.file_id]

    assert [(row.path, row.bytes, row.is_folder) for row in rows] == [("ctao/g/1/1", 7, False)]
    assert (counted.waiting, counted.waiting_bytes) == (1, 7)
    assert [row.path for row in gone] == ["ctao/g/1/1"]
    assert known.state is FileState.AVAILABLE
    assert [copy.path for copy in copies] == ["ctao/g/2/1"]


async def test_a_name_that_is_published_where_it_was_keeps_its_bytes(store: Store) -> None:
    ada = await an_owner(store)
    for n, path in enumerate(("ctao/a", "ctao/b", "ctao/a")):
        assert await published(store, ada, the_same(ada, path), key=f"j{n}") is JobState.DONE

    assert places(await all_of(store, 1e12)) == ["pic/ctao/b"]
    assert [one.waiting for one in await store.read(remnant_records.remnant_counts)] == [1]


async def test_a_removed_file_that_is_back_elsewhere_leaves_its_first_bytes(store: Store) -> None:
    ada = await an_owner(store)
    await removed(store, a_file(ada, "one", "pic/ctao/a"))
    back = await registered(store, a_file(ada, "one", "pic/ctao/b"))
    moved = places(await all_of(store))
    (sweep,) = await ordered(store)
    gone = await swept(store, sweep)
    (file,) = await store.read(catalogue_read.files_by_did, "ctao", [Did("users", "one")])

    assert back == [True]
    assert moved == ["pic/ctao/a"]
    assert [row.path for row in gone] == ["ctao/a"]
    assert file is not None and file.state is FileState.AVAILABLE


async def test_a_bad_copy_that_is_replaced_goes_and_a_missing_one_stays(store: Store) -> None:
    """Whoever says by hand where a copy lies may err: bytes that may be good are left alone."""
    ada = await an_owner(store)
    for state, path in ((ReplicaState.BAD, "bad"), (ReplicaState.MISSING, "missing")):
        await registered(store, a_file(ada, path, f"pic/ctao/{path}/1"))
        await declared(store, Did("users", path), state)
        assert await registered(store, a_file(ada, path, f"pic/ctao/{path}/2")) == [True]

    assert places(await all_of(store, 1e12)) == ["pic/ctao/bad/1"]


# -- what is given up ---------------------------------------------------------------------------


async def test_what_cannot_be_removed_is_given_up_by_somebodys_word(store: Store) -> None:
    ada = await an_owner(store)
    one = a_file(ada, "one", "pic/ctao/1")
    await removed(store, one)
    (row,) = await all_of(store)
    (sweep,) = await ordered(store)
    await swept(store, sweep, failed=[row.remnant_id])
    (failing,) = await store.read(remnant_records.remnant_counts)
    said = await declared(store, one.did, None)
    counts = await store.read(
        remnant_records.remnant_counts
    )  # of what there is nothing there may be none

    assert failing.failing == 1
    assert said
    for count in counts:
        assert (count.waiting, count.waiting_bytes, count.failing, count.gone) == (0, 0, 0, 0)
    assert await all_of(store, 1e12) == []
    assert await ordered(store, 1e12) == []
    assert await registered(store, one) == [False]  # one that was given up may be at it still
    assert await store.write(remnant_records.forget_gone, LATER, limit=10) == 1
    assert await registered(store, one) == [True]


async def test_what_a_sweep_has_is_given_up_once_it_has_ended(store: Store) -> None:
    ada = await an_owner(store)
    one = a_file(ada, "one", "pic/ctao/1")
    await removed(store, one)
    (row,) = await all_of(store)
    (sweep,) = await ordered(store)
    await declared(store, one.did, None)
    still = await all_of(store, 1e12)
    await swept(store, sweep, failed=[row.remnant_id])
    again = await declared(store, one.did, None)
    never = await declared(store, one.did, None)

    assert [row.state for row in still] == [RemnantState.SWEEPING]
    assert (again, never) == (True, False)
    assert await all_of(store, 1e12) == []


def an_upload(owner: Owner, number: int, storage: str = "pic") -> RemnantPlace:
    return RemnantPlace(
        storage=storage,
        path=f"ctao/put/{number}/f",
        community="ctao",
        owner_id=owner.owner_id,
        group="users",
    )


async def test_an_upload_is_a_remnant_until_a_file_names_it(store: Store) -> None:
    ada = await an_owner(store)
    for some in ([1], [1, 2, 3], [3]):
        places = [an_upload(ada, number) for number in some]
        await store.write(remnant_records.begin_uploads, places, at=NOW)
    await store.write(remnant_records.begin_uploads, [an_upload(ada, 2, "cscs")], at=NOW)
    await store.write(
        registration.register_files,
        "ctao",
        [a_file(ada, "two", "pic/ctao/put/2/f"), a_file(ada, "other", "pic/ctao/put/4/f")],
        at=NOW,
    )
    left = await all_of(store)
    counts = {one.storage: one.waiting for one in await store.read(remnant_records.remnant_counts)}
    (sweep,) = await ordered(store)

    assert [(one.storage, one.path, one.size_bytes, one.is_folder) for one in left] == [
        ("pic", "ctao/put/1/f", None, False),
        ("pic", "ctao/put/3/f", None, False),
        ("cscs", "ctao/put/2/f", None, False),
    ]
    assert {one.path for one in await swept(store, sweep)} == {"ctao/put/1/f", "ctao/put/3/f"}
    assert counts == {"pic": 2, "cscs": 1}


async def test_an_upload_that_is_being_removed_gets_no_name(store: Store) -> None:
    ada = await an_owner(store)
    await store.write(remnant_records.begin_uploads, [an_upload(ada, 1)], at=NOW)
    await ordered(store)
    (late,) = await store.write(
        registration.register_files, "ctao", [a_file(ada, "one", "pic/ctao/put/1/f")], at=LATER
    )

    assert late.clash is not None and late.clash.field == "replicas.path"
