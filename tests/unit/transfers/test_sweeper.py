"""Remnants swept on the store in memory: each job once, bounded, tried again, whatever crashes."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import pytest

from pilotage.central.catalogue import (
    record_files as file_records,
    record_read as catalogue_read,
    record_registration as registration,
    record_remnants as remnant_records,
)
from pilotage.central.catalogue.record_types import NewFile, NewReplica
from pilotage.central.catalogue.remnants import SweepResult, sweep_key
from pilotage.central.catalogue.storages import StorageBook, StorageEntry, Storages
from pilotage.central.errors import Refused
from pilotage.central.identity import record as identity_records
from pilotage.central.identity.callers import User
from pilotage.central.identity.record_types import Owner
from pilotage.central.jobs import record as job_records, record_submissions as submission_records
from pilotage.central.jobs.record_types import AttemptResult, JobClassRow, NewJob, NewSubmission
from pilotage.central.store.errors import StoreError
from pilotage.central.transfers.own_jobs import PATIENCE_S
from pilotage.central.transfers.sweep_loop import Sweeper
from pilotage.proto.api.jobs import IdRange, Submission, Submitted
from pilotage.proto.catalogue import Did, RemnantState
from pilotage.proto.documents.job import Job
from pilotage.proto.job_states import JobState
from pilotage.proto.problems import Code
from tests import turns
from tests.contract.store.rows import a_move, an_end, matched
from tests.fake_central import FakeClock
from tests.memory_store import MemoryStore, way

AFTER_S = 1_000.0


class Store(MemoryStore):
    """A store that forgets which job a sweep has, as long as it is told to."""

    forgets = False
    asked = 0  # for sweeps
    asked_for_jobs = 0
    refuses = ""  # to order sweeps of a storage
    refuses_end = 0  # of a sweep
    ends: AttemptResult | None = None  # what is accepted while the states of jobs are read

    @way(job_records.jobs)
    async def jobs(self, plain: Any, job_ids: Sequence[int]) -> Any:
        self.asked_for_jobs += 1
        if self.ends is not None:
            await turns.change(self, [self.ends])
        return await plain(job_ids)

    @way(remnant_records.order_sweeps)
    async def order_sweeps(self, plain: Any, storage: str, *given: Any, **named: Any) -> Any:
        if storage == self.refuses:
            raise StoreError("refused")
        asked = self.asked
        rows = await plain(storage, *given, **named)
        self.asked = asked  # which is what others have asked for
        return rows

    @way(remnant_records.end_sweeps)
    async def end_sweeps(self, plain: Any, ends: Sequence[tuple[int, str]], **named: Any) -> Any:
        if self.refuses_end in dict(ends):
            raise StoreError("refused")
        return await plain(ends, **named)

    @way(remnant_records.open_sweeps)
    async def sweeps(self, plain: Any) -> Any:
        self.asked += 1
        return await plain()

    @way(remnant_records.sweep_job)
    async def sweep_job(self, plain: Any, sweep_id: int, job_id: int) -> None:
        if not self.forgets:
            await plain(sweep_id, job_id)


class World:
    """A sweeper, and who takes its jobs in."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = Store(clock_wall=self.clock.wall)
        self.jobs: dict[str, int] = {}  # by key
        self.asked = 0
        self.refusal: Exception | None = None
        self.trusted = True
        self.said: list[tuple[str, dict[str, Any]]] = []
        self.kept = ""  # why copies of files stay
        entry = StorageEntry(type="file", url="file:///pic", deletes=True, sweeps_max=2)
        other = StorageEntry(type="file", url="file:///cscs")
        self.storages = Storages()
        self.storages.book = StorageBook(storages={"pic": entry, "cscs": other})
        self.sweeper = self.new_sweeper()

    def new_sweeper(self) -> Sweeper:
        """Return the sweeper of a central that has just started."""
        return Sweeper(
            self.store,
            self.storages,
            self,
            clock=self.clock,
            log=self._log,
            is_trusted=lambda: self.trusted,
            after_s=AFTER_S,
            keeps=lambda storage: self.kept,
        )

    def _log(self, event: str, **fields: Any) -> None:
        self.said.append((event, fields))

    async def submit(self, caller: User, body: Submission, /, *, body_hash: str) -> Submitted:
        self.asked += 1
        if self.refusal is not None:
            raise self.refusal
        job = msgspec.json.decode(body.jobs[0], type=Job)
        owner = await self.store.write(
            identity_records.owner,
            Owner(community=caller.community, issuer=caller.issuer, subject=caller.subject),
        )
        kind = JobClassRow(
            community=caller.community,
            group=job.group,
            owner_id=owner.owner_id,
            type=job.type,
            needs=b"[]",
        )
        (class_id,) = await self.store.write(submission_records.classes, [kind])
        new = NewSubmission(
            community=caller.community,
            owner_id=owner.owner_id,
            key=body.key,
            body_hash=body_hash,
            name=body.name,
            template=None,
            at=self.clock.wall(),
        )
        record = await self.store.write(
            submission_records.submit, new, [NewJob(class_id=class_id, body=bytes(body.jobs[0]))]
        )
        first = record.ranges[0][0]
        self.jobs[body.key] = first
        return Submitted(submission=1, count=1, ids=[IdRange(first=first, count=1)])

    async def removed(self, *names: str, subject: str = "ada") -> None:
        """Register files on both storages, and take them out of the catalogue."""
        owner = await self.store.write(
            identity_records.owner, Owner(community="ctao", issuer="here", subject=subject)
        )
        files = [
            NewFile(
                did=Did("users", name),
                bytes=7,
                adler32="00000001",
                replicas=(
                    NewReplica(storage="pic", path=f"ctao/{name}"),
                    NewReplica(storage="cscs", path=f"ctao/{name}"),
                ),
                owner_id=owner.owner_id,
            )
            for name in names
        ]
        await self.store.write(registration.register_files, "ctao", files, at=self.clock.wall())
        await self.store.write(
            file_records.remove_files, "ctao", [one.did for one in files], at=self.clock.wall()
        )

    async def turn(self, *, after_s: float = 0.0) -> None:
        self.clock.move(after_s)
        await self.sweeper.turn()

    async def states(self) -> dict[str, RemnantState]:
        rows = await self.store.read(
            remnant_records.remnants, storage="pic", before=1e15, after=0, limit=100
        )
        return {row.path: row.state for row in rows}


async def test_what_is_due_becomes_jobs_on_storages_that_take_part() -> None:
    world = World()
    await world.removed("one", "two")
    await world.turn()
    early = dict(world.jobs)
    await world.turn(after_s=AFTER_S)
    (sweep,) = await world.store.read(remnant_records.open_sweeps)
    await world.turn(after_s=1.0)

    assert early == {}
    assert world.jobs == {sweep_key(sweep.sweep_id): sweep.job_id}
    assert world.asked == 1
    assert set((await world.states()).values()) == {RemnantState.SWEEPING}
    rows = await world.store.read(
        remnant_records.remnants, storage="cscs", before=1e15, after=0, limit=9
    )
    assert {row.state for row in rows} == {RemnantState.WAITING}


async def test_while_nothing_is_swept_the_store_is_not_asked_for_sweeps() -> None:
    world = World()
    await world.removed("one")
    for _ in range(3):
        await world.turn(after_s=1.0)
    idle = world.store.asked
    await world.turn(after_s=AFTER_S)  # it orders one
    for _ in range(3):
        await world.turn(after_s=1.0)
    busy = world.store.asked
    (job_id,) = world.jobs.values()
    await world.store.write(job_records.move, [a_move(job_id, JobState.WAITING, JobState.KILLED)])
    for _ in range(3):
        await world.turn(after_s=1.0)

    assert (idle, busy, world.store.asked) == (1, 4, 6)


async def test_nothing_is_ordered_while_the_clock_is_in_doubt() -> None:
    world = World()
    await world.removed("one")
    world.trusted = False
    await world.turn(after_s=AFTER_S)
    assert world.jobs == {}

    world.trusted = True
    await world.turn()
    assert len(world.jobs) == 1


async def test_a_storage_has_no_more_jobs_at_once_than_its_file_says() -> None:
    world = World()
    for n in range(5):
        await world.removed(f"f{n}", subject=f"s{n}")
    await world.turn(after_s=AFTER_S)
    await world.turn(after_s=60.0)
    first = dict(world.jobs)
    job_id = next(iter(first.values()))
    await world.store.write(job_records.move, [a_move(job_id, JobState.WAITING, JobState.KILLED)])
    await world.turn(after_s=1.0)

    assert len(first) == 2
    assert len(world.jobs) == 3


async def test_who_holds_jobs_stops_no_sweeping_of_others() -> None:
    world = World()
    for n in range(4):
        await world.removed(f"f{n}", subject=f"s{n}")
    await world.turn(after_s=AFTER_S)
    first = list(world.jobs.values())
    for job_id in first:
        held = a_move(job_id, JobState.WAITING, JobState.HELD, event="held")
        await world.store.write(job_records.move, [held])
    await world.turn(after_s=1.0)
    rows = await world.store.read(
        remnant_records.remnants, storage="pic", before=1e15, after=0, limit=9
    )
    for job_id in first:
        again = a_move(job_id, JobState.HELD, JobState.WAITING, event="released")
        await world.store.write(job_records.move, [again])

    assert len(world.jobs) == 4
    assert [row.why for row in rows if row.failures] == [f"job {one} is held" for one in first]
    for job_id in first:
        assert await world.store.read(remnant_records.remnants_of_job, job_id) == []


async def test_a_job_that_nobody_takes_stops_no_others_for_long() -> None:
    world = World()
    for n in range(6):
        await world.removed(f"f{n}", subject=f"s{n}")
    await world.turn(after_s=AFTER_S)
    (runs, _) = world.jobs.values()
    await matched(world.store, runs)
    await world.turn(after_s=PATIENCE_S - 1.0)
    soon = len(world.jobs)
    await world.turn(after_s=1.0)
    later = len(world.jobs)
    await world.turn(after_s=60.0)

    assert (soon, later, len(world.jobs)) == (2, 3, 3)
    assert len(await world.store.read(remnant_records.open_sweeps)) == 3


async def test_a_crash_before_the_submission_and_after_it_makes_no_second_job() -> None:
    world = World()
    await world.removed("one")
    world.clock.move(AFTER_S)
    now = world.clock.wall()
    (sweep,) = await world.store.write(
        remnant_records.order_sweeps, "pic", now, at=now, limit=9, most=1
    )
    world.sweeper = world.new_sweeper()  # it was marked, and no job was submitted
    await world.turn()
    (known,) = await world.store.read(remnant_records.open_sweeps)
    again = World()
    again.store.forgets = True  # it was submitted, and nobody wrote down which job that is
    await again.removed("one")
    await again.turn(after_s=AFTER_S)
    again.store.forgets = False
    again.sweeper = again.new_sweeper()
    await again.turn()
    (same,) = await again.store.read(remnant_records.open_sweeps)

    assert known.job_id == world.jobs[sweep_key(sweep.sweep_id)]
    assert same.job_id == again.jobs[sweep_key(same.sweep_id)]
    assert len(again.jobs) == 1 and again.asked == 2


async def test_a_job_that_brings_no_result_is_followed_by_another_one() -> None:
    world = World()
    await world.removed("one")
    await world.turn(after_s=AFTER_S)
    (job_id,) = world.jobs.values()
    await world.store.write(job_records.move, [a_move(job_id, JobState.WAITING, JobState.KILLED)])
    await world.turn(after_s=1.0)
    (left,) = await world.store.read(
        remnant_records.remnants, storage="pic", before=1e15, after=0, limit=9
    )
    await world.turn(after_s=30.0)
    soon = len(world.jobs)
    await world.turn(after_s=100.0)

    assert (left.state, left.failures) == (RemnantState.SWEEPING, 1)
    assert f"job {job_id}: by hand" in left.why
    assert (soon, len(world.jobs)) == (1, 2)
    assert world.said[0][0] == "sweep_failed"


async def test_a_result_that_says_nothing_has_removed_nothing() -> None:
    world = World()
    await world.removed("one")
    await world.turn(after_s=AFTER_S)
    (job_id,) = world.jobs.values()
    attempt_id = await matched(world.store, job_id)
    await turns.change(world.store, [an_end(attempt_id, job_id)])
    await world.turn(after_s=1.0)
    (left,) = await world.store.read(
        remnant_records.remnants, storage="pic", before=1e15, after=0, limit=9
    )

    assert left.failures == 1
    assert "did not report whether it removed this" in left.why


async def test_a_result_that_comes_while_the_sweeper_looks_is_no_failure() -> None:
    world = World()
    await world.removed("one")
    await world.turn(after_s=AFTER_S)
    (job_id,) = world.jobs.values()
    gone = tuple(
        row.remnant_id for row in await world.store.read(remnant_records.remnants_of_job, job_id)
    )
    end = an_end(await matched(world.store, job_id), job_id, at=world.clock.wall())
    world.store.ends = msgspec.structs.replace(end, swept=SweepResult(gone=gone))
    await world.turn(after_s=1.0)

    assert await world.store.read(remnant_records.open_sweeps) == []
    assert world.said == []


async def test_states_of_all_jobs_are_one_question_a_turn() -> None:
    world = World()
    for n in range(2):
        await world.removed(f"f{n}", subject=f"s{n}")
    await world.turn(after_s=AFTER_S)
    before = world.store.asked_for_jobs
    await world.turn(after_s=PATIENCE_S)

    assert len(world.jobs) == 2
    assert world.store.asked_for_jobs - before == 1


@pytest.mark.parametrize("kind", [StoreError, partial(Refused, Code.TOO_MANY)])
async def test_a_job_that_is_not_taken_in_is_tried_again_later(
    kind: Callable[[str], Exception],
) -> None:
    world = World()
    await world.removed("one")
    world.refusal = kind("you have enough")
    await world.turn(after_s=AFTER_S)
    (left,) = await world.store.read(
        remnant_records.remnants, storage="pic", before=1e15, after=0, limit=9
    )
    world.refusal = None
    await world.turn(after_s=100.0)

    assert (left.failures, left.why) == (1, "you have enough")
    assert len(world.jobs) == 1


async def test_a_storage_of_which_sweeps_are_refused_waits_and_the_others_are_swept() -> None:
    world = World()
    pic = world.storages.book.storages["pic"]
    cscs = msgspec.structs.replace(pic, url="file:///cscs")
    world.storages.book = StorageBook(storages={"cscs": cscs, "pic": pic})
    await world.removed("one")
    world.store.refuses = "cscs"
    await world.turn(after_s=AFTER_S)
    storages = [one.storage for one in await world.store.read(remnant_records.open_sweeps)]
    world.store.refuses = ""
    await world.turn(after_s=AFTER_S)

    assert storages == ["pic"]
    assert ("sweeps_wait", {"why": "cscs: refused"}) in world.said
    assert "cscs" in {one.storage for one in await world.store.read(remnant_records.open_sweeps)}


async def test_the_end_of_a_sweep_that_is_refused_holds_up_no_other() -> None:
    world = World()
    await world.removed("one")
    await world.removed("two", subject="bob")
    await world.turn(after_s=AFTER_S)
    world.store.refuses_end = 1
    await world.store.write(
        job_records.move,
        [a_move(job, JobState.WAITING, JobState.KILLED) for job in world.jobs.values()],
    )
    await world.turn()
    await world.turn()

    assert 1 in {one.sweep_id for one in await world.store.read(remnant_records.open_sweeps)}
    assert 2 not in {one.sweep_id for one in await world.store.read(remnant_records.open_sweeps)}


async def test_a_storage_of_which_no_file_speaks_any_more_is_left_alone() -> None:
    world = World()
    await world.removed("one")
    now = world.clock.wall()
    await world.store.write(
        remnant_records.order_sweeps, "pic", now + AFTER_S, at=now, limit=9, most=1
    )
    world.storages.book = StorageBook()
    await world.turn()

    assert world.jobs == {} and await world.store.read(remnant_records.open_sweeps) == []
    assert world.said[0][1]["why"] == "no storage file defines this storage any more"


async def test_nothing_goes_while_copies_lie_on_a_storage_without_a_file() -> None:
    """It may have been in the same folder: what it alone names would go."""
    world = World()
    await world.removed("one")
    both = world.storages.book
    world.storages.book = StorageBook(storages={"pic": both.storages["pic"]})
    await world.turn(after_s=AFTER_S)
    await world.turn(after_s=AFTER_S)
    before = dict(world.jobs)
    world.storages.book = both
    await world.turn(after_s=AFTER_S)

    assert before == {}
    assert [event for event, _ in world.said] == ["sweeps_wait"]
    assert "storage cscs has copies but no file" in world.said[0][1]["why"]
    assert len(world.jobs) == 1


@pytest.mark.parametrize("trouble", ["file", "folder", "overlap"])
async def test_why_a_storage_that_deletes_is_not_swept_is_told_each_time_it_begins(
    trouble: str,
) -> None:
    world = World()
    await world.removed("one")
    good = world.storages.book
    entry = StorageEntry(type="file", url="file:///pic/below")
    bad, why = {
        "file": (replace(good, troubles={"pic": "pic.yaml:1: no"}), "its file has an error"),
        "folder": (replace(good, unlisted="cannot be listed"), "cannot be listed"),
        "overlap": (
            replace(good, storages={**good.storages, "cscs": entry}),
            "it may share its folder with cscs",
        ),
    }[trouble]
    for book, after_s in ((bad, AFTER_S), (bad, AFTER_S), (good, AFTER_S), (bad, AFTER_S)):
        world.storages.book = book
        await world.turn(after_s=after_s)
        if book is good:
            await world.removed("two")

    assert world.said == [("sweeps_wait", {"why": f"pic: {why}"})] * 2
    assert len(world.jobs) == 1


async def test_jobs_that_have_ended_are_looked_at_page_by_page() -> None:
    world = World()
    ada = await world.store.write(
        identity_records.owner, Owner(community="ctao", issuer="here", subject="ada")
    )
    kind = JobClassRow(community="ctao", group="g", owner_id=ada.owner_id, type="x", needs=b"[]")
    (class_id,) = await world.store.write(submission_records.classes, [kind])
    new = NewSubmission(
        community="ctao", owner_id=ada.owner_id, key="k", body_hash="", name="", template=None, at=0
    )
    job = NewJob(class_id=class_id, body=b"{}", stores=("pic",))
    first = (await world.store.write(submission_records.submit, new, [job] * 700)).ranges[0][0]
    for job_id in (first, first + 699):
        attempt_id = await matched(world.store, job_id)
        at = world.clock.wall()
        end = an_end(attempt_id, job_id, new=JobState.FAILED, failed=True, at=at)
        await turns.change(world.store, [end])
    await world.turn()
    some = len(await world.states())
    await world.turn(after_s=1.0)

    assert (some, len(await world.states())) == (1, 2)


async def test_what_is_gone_is_forgotten_when_nobody_can_be_at_it_any_more() -> None:
    world = World()
    await world.removed("one")
    await world.turn(after_s=AFTER_S)
    (sweep,) = await world.store.read(remnant_records.open_sweeps)
    assert sweep.job_id is not None
    gone = [
        row.remnant_id
        for row in await world.store.read(remnant_records.remnants_of_job, sweep.job_id)
    ]
    end = an_end(await matched(world.store, sweep.job_id), sweep.job_id, at=world.clock.wall())
    await turns.change(
        world.store, [msgspec.structs.replace(end, swept=SweepResult(gone=tuple(gone)))]
    )
    (file,) = await world.store.read(catalogue_read.files_by_did, "ctao", [Did("users", "one")])
    assert file is not None

    async def known() -> list[str]:
        rows = await world.store.read(remnant_records.remnants_of_files, [file.file_id])
        return [row.storage for row in rows if row.state is RemnantState.GONE]

    await world.turn(after_s=AFTER_S / 2)
    assert await known() == ["pic"]
    await world.turn(after_s=AFTER_S)
    await world.turn(after_s=AFTER_S)
    assert await known() == []
