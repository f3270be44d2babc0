"""Rules carried out on the store in memory: each copy ordered once, bounded, tried again."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec
import pytest

from pilotage.central.catalogue import (
    record_files as file_records,
    record_read as catalogue_read,
    record_registration as registration,
)
from pilotage.central.catalogue.record_types import NewFile, NewReplica, ReplicaChange
from pilotage.central.catalogue.storages import StorageBook, StorageEntry, Storages
from pilotage.central.errors import Refused
from pilotage.central.identity import record as identity_records
from pilotage.central.identity.bans.ban_list import BanList
from pilotage.central.identity.bans.record import NewBan
from pilotage.central.identity.callers import User
from pilotage.central.identity.record_types import Owner
from pilotage.central.identity.scope import Owners
from pilotage.central.jobs import record as job_records
from pilotage.central.jobs.record_types import JobRow
from pilotage.central.store.errors import StoreError
from pilotage.central.transfers import record as rule_records
from pilotage.central.transfers.own_jobs import PATIENCE_S, caller_of
from pilotage.central.transfers.record import NewRule, RuleProgress, RuleRow
from pilotage.central.transfers.rule_loop import CopyRuleLoop, transfer_job
from pilotage.central.transfers.rules import FAILURES_MAX
from pilotage.central.transfers.service import RuleService
from pilotage.proto.api.data import RuleRequest
from pilotage.proto.api.jobs import Action, ActionName, IdRange, Submission, Submitted
from pilotage.proto.catalogue import Did, ReplicaState, RuleState
from pilotage.proto.documents.job import Job
from pilotage.proto.job_states import JobState
from pilotage.proto.problems import Code
from tests.fake_central import FakeClock
from tests.memory_store import MemoryStore, way

FILES = 5
ADA = caller_of(Owner(community="ctao", issuer="here", subject="ada"), "users")


class Store(MemoryStore):
    """A store whose jobs end as it is told here."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock_wall=clock.wall)
        self.ended: dict[int, tuple[JobState, str]] = {}
        self.asked_for_rules = self.asked_for_jobs = 0
        self.refuses = self.refuses_end = 0  # what of a rule is told; the end of a transfer
        self.made_at = clock.wall()

    @way(rule_records.rules)
    async def rules(self, plain: Any, community: str | None = None) -> Any:
        self.asked_for_rules += 1
        return await plain(community)

    @way(rule_records.tell_rule)
    async def tell_rule(
        self, plain: Any, rule_id: int, state: RuleState, tally: RuleProgress, why: str
    ) -> None:
        if rule_id == self.refuses:
            raise StoreError("refused")
        await plain(rule_id, state, tally, why)

    @way(rule_records.end_transfers)
    async def end_transfers(self, plain: Any, ends: Sequence[tuple[int, str, float]]) -> None:
        if self.refuses_end in {transfer_id for transfer_id, _, _ in ends}:
            raise StoreError("refused")
        await plain(ends)

    @way(job_records.jobs)
    async def jobs(self, plain: Any, job_ids: Sequence[int]) -> dict[int, JobRow]:
        self.asked_for_jobs += 1
        return {job_id: self.row_of(job_id) for job_id in job_ids}

    def row_of(self, job_id: int) -> JobRow:
        state, reason = self.ended.get(job_id, (JobState.RUNNING, ""))
        return JobRow(
            job_id=job_id,
            submission_id=1,
            submission_name="",
            class_id=1,
            community="ctao",
            group="users",
            owner="ada",
            owner_id=1,
            type="Transfer",
            name=None,
            state=state,
            epoch=1,
            round=1,
            priority=5,
            failures=0,
            losses=0,
            reason=reason,
            status="",
            site="",
            pilot="",
            wanted=None,
            exit_code=None,
            submitted_at=self.made_at,
            started_at=None,
            ended_at=None,
            deleted=False,
        )


class World:
    """A carrier, and whom it gives jobs to."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = Store(self.clock)
        self.jobs: dict[str, Job] = {}  # by key, in the order of their ids
        self.refusal: Exception | None = None
        self.said: list[str] = []
        self.acted: list[tuple[str, ActionName, tuple[int, ...]]] = []
        entry = StorageEntry(type="file", url="file:///x", transfers_max=2)
        self.storages = Storages()
        self.storages.book = StorageBook(storages={"pic": entry, "cscs": entry})
        self.bans = BanList(MemoryStore(clock_wall=self.clock.wall), "pilotage:local")
        self.carrier = self.new_carrier()

    def new_carrier(self) -> CopyRuleLoop:
        """Return the carrier of a central that has just started."""
        return CopyRuleLoop(
            self.store, self.storages, self, self.bans, clock=self.clock, log=self._log
        )

    def _log(self, event: str, **fields: Any) -> None:
        self.said.append(event)

    async def submit(self, caller: User, body: Submission, /, *, body_hash: str) -> Submitted:
        if self.refusal is not None:
            raise self.refusal
        assert (caller.subject, caller.groups) == ("ada", ("users",))
        job = msgspec.json.decode(body.jobs[0], type=Job)
        known = self.jobs.setdefault(body.key, job)
        assert known == job
        place = list(self.jobs).index(body.key) + 1
        return Submitted(submission=place, count=1, ids=[IdRange(first=place, count=1)])

    async def service(self) -> RuleService:
        owners = Owners(self.store, "here")
        await owners.get("ctao", ADA)
        return RuleService(
            self.store,
            self.storages,
            owners,
            self.clock,
            act=self._act,
            added=self.carrier.added,
        )

    async def _act(self, caller: User, action: Action) -> None:
        self.acted.append((caller.subject, action.action, action.ids))
        for job in action.ids:
            self.store.ended[job] = (JobState.KILLED, action.reason)

    async def begin(self, copies: int = 2) -> None:
        ada = Owner(community="ctao", issuer="here", subject="ada")
        owner = await self.store.write(identity_records.owner, ada)
        files = [
            NewFile(
                did=Did("users", f"run{n}.h5"),
                bytes=n,
                adler32=f"{n:08x}",
                metadata={"run": n},
                replicas=(NewReplica(storage="pic", path=f"p{n}"),),
            )
            for n in range(FILES)
        ]
        await self.store.write(registration.register_files, "ctao", files, at=0.0)
        new = NewRule(
            community="ctao",
            owner=owner,
            group="users",
            did="",
            query={"run": {">=": 0}},
            copies=copies,
            storages=("pic", "cscs"),
        )
        await self.store.write(rule_records.add_rule, new, at=0.0)

    async def turn(self, times: int = 1) -> RuleRow:
        for _ in range(times):
            self.clock.move(60.0)
            await self.carrier.turn()
        return (await self.store.read(rule_records.rules))[0]

    async def end(self, job_id: int, *, why: str = "") -> None:
        """End a job; done, its copy is published."""
        self.store.ended[job_id] = (JobState.FAILED if why else JobState.DONE, why)
        job = list(self.jobs.values())[job_id - 1]
        assert job.data is not None
        if not why:
            (storage,) = job.data.outputs[0].storages
            did = Did.parse(job.data.outputs[0].did)
            good = ReplicaState.AVAILABLE
            change = ReplicaChange(did=did, storage=storage, state=good, path="q")
            await self.store.write(file_records.change_replicas, "ctao", [change], at=0.0)


def counts(row: RuleRow) -> tuple[int, ...]:
    return (row.tally.there, row.tally.moving, row.tally.wanted, row.tally.stuck)


async def test_missing_copies_become_jobs_as_many_as_a_storage_takes() -> None:
    world = World()
    await world.begin()
    first = await world.turn()
    again = await world.turn(3)
    for job in (1, 2):
        await world.end(job)
    later = await world.turn(2)
    for job in (3, 4):
        await world.end(job)
    await world.turn()
    await world.end(5)
    done = await world.turn(2)

    assert counts(first) == counts(again) == (5, 2, 3, 0)
    assert counts(later) == (7, 2, 1, 0)
    assert counts(done) == (10, 0, 0, 0)
    assert done.state is RuleState.OK
    assert len(world.jobs) == FILES
    assert await world.store.read(rule_records.transfers) == []


async def test_a_new_file_and_a_lost_copy_bring_new_jobs() -> None:
    world = World()
    await world.begin(copies=1)
    ok = await world.turn(2)
    new = NewFile(
        did=Did("users", "run9.h5"),
        bytes=1,
        adler32="00000009",
        metadata={"run": 9},
        replicas=(NewReplica(storage="elsewhere", path="p"),),
    )
    await world.store.write(registration.register_files, "ctao", [new], at=0.0)
    bad = ReplicaChange(did=Did("users", "run1.h5"), storage="pic", state=ReplicaState.BAD)
    await world.store.write(file_records.change_replicas, "ctao", [bad], at=0.0)
    row = await world.turn(2)

    assert ok.state is RuleState.OK and counts(ok) == (5, 0, 0, 0)
    assert counts(row) == (4, 1, 0, 1)  # of the lost one there is nothing to copy from
    assert (row.state, row.why) == (RuleState.STUCK, "some files have no readable copy")
    (job,) = world.jobs.values()
    assert job == transfer_job(Did("users", "run9.h5"), "pic", "users")


async def test_a_rule_of_a_banned_person_orders_nothing_and_is_not_stuck_afterwards() -> None:
    world = World()
    await world.begin()
    new = NewBan(issuer="here", subject="ada", who="oscar", reason="", at=1.0)
    first = await world.turn()
    ban, *_ = await world.bans.ban(new)
    for job in (1, 2):
        world.store.ended[job] = (JobState.HELD, "ban 1: its owner is banned")
    await world.turn(100)
    during = list(world.jobs)
    await world.bans.lift(ban.ban_id, "oscar", 2.0)
    after = await world.turn(2)

    assert counts(first) == (5, 2, 3, 0)
    assert len(during) == 2, "no more jobs came"
    assert counts(after) == (5, 2, 3, 0)
    assert len(world.jobs) == 4


async def test_what_fails_is_tried_again_later_and_at_last_stuck() -> None:
    world = World()
    await world.begin()
    await world.turn()
    for job in range(2, FILES + 1):
        await world.turn()
        if job <= len(world.jobs):
            await world.end(job)
    for n in range(FAILURES_MAX):
        await world.end(len(world.jobs) if n else 1, why="no space left")
        row = await world.turn()
        if n < FAILURES_MAX - 1:
            assert counts(row) == (9, 0, 1, 0)
            assert len(world.jobs) == FILES + n
            row = await world.turn(4**n + 2)
            assert counts(row) == (9, 1, 0, 0)
    row = await world.turn(1_000)

    assert counts(row) == (9, 0, 0, 1)
    assert row.state is RuleState.STUCK
    assert "no space left" in row.why
    assert len(world.jobs) == FILES + FAILURES_MAX - 1
    assert world.said.count("transfer_failed") == FAILURES_MAX

    await world.store.write(rule_records.retry_rule, "ctao", row.rule_id)
    row = await world.turn(1_000)
    assert counts(row) == (9, 1, 0, 0)
    assert len(world.jobs) == FILES + FAILURES_MAX


async def test_who_holds_jobs_takes_no_room_from_other_rules() -> None:
    world = World()
    await world.begin()
    await world.turn()
    for job in (1, 2):
        world.store.ended[job] = (JobState.HELD, "")
    row = await world.turn()
    known = {one.job_id: one for one in await world.store.read(rule_records.transfers)}

    assert len(world.jobs) == 4
    assert {one.why for one in known.values() if not one.is_open} == {
        "job 1 is held",
        "job 2 is held",
    }
    assert counts(row) == (5, 2, 3, 0)
    assert world.said == ["transfer_failed"] * 2


async def test_a_job_that_nobody_takes_stops_no_others_for_long() -> None:
    world = World()
    await world.begin()
    first = await world.turn()
    world.store.ended[1] = (JobState.WAITING, "")
    world.clock.move(PATIENCE_S - 121.0)
    await world.turn()
    soon = len(world.jobs)
    row = await world.turn()
    await world.turn()

    assert (soon, len(world.jobs)) == (2, 3)
    assert (counts(first), counts(row)) == ((5, 2, 3, 0), (5, 3, 2, 0))
    assert list(world.jobs.values())[0].queue_s == 7 * 86_400  # nor do more and more wait


async def test_states_of_all_jobs_are_one_question_a_turn() -> None:
    world = World()
    await world.begin()
    await world.turn()
    before = world.store.asked_for_jobs
    await world.turn()

    assert world.store.asked_for_jobs - before == 1


@pytest.mark.parametrize("kind", [StoreError, partial(Refused, Code.INVALID)])
async def test_a_refused_job_is_a_failure_that_says_why(kind: Callable[[str], Exception]) -> None:
    world = World()
    await world.begin()
    world.refusal = kind("no site reaches both storages")
    row = await world.turn(2)

    assert row.why == "no site reaches both storages"
    assert world.jobs == {}
    assert all(not one.is_open for one in await world.store.read(rule_records.transfers))


async def test_a_rule_of_which_something_is_refused_waits_and_the_others_are_carried_out() -> None:
    world = World()
    await world.begin()
    (first,) = await world.store.read(rule_records.rules)
    await world.store.write(
        rule_records.add_rule, msgspec.structs.replace(first.rule, copies=1), at=0.0
    )
    world.store.refuses = first.rule_id
    await world.turn()
    told = [row.tally.files for row in await world.store.read(rule_records.rules)]
    world.store.refuses = 0
    await world.turn(2)

    assert told == [0, FILES]
    assert (await world.store.read(rule_records.rules))[0].tally.files == FILES
    assert "rules_wait" in world.said


async def test_ends_of_transfers_are_kept_where_one_is_refused() -> None:
    world = World()
    await world.begin()
    await world.turn()
    world.store.refuses_end = 1
    for job in (1, 2):
        await world.end(job)
    await world.turn()

    assert [
        one.transfer_id for one in await world.store.read(rule_records.transfers, only_open=True)
    ][:2] == [1, 3]


async def test_no_request_has_the_key_of_a_transfer() -> None:
    """While one of the same key was being sent, the loop over all rules would wait for its end."""
    world = World()
    await world.begin()
    await world.turn(2)

    assert world.jobs
    for key in world.jobs:
        with pytest.raises(msgspec.ValidationError, match="key"):
            msgspec.json.decode(msgspec.json.encode({"key": key, "jobs": []}), type=Submission)


async def test_what_was_ordered_before_a_crash_is_submitted_once() -> None:
    world = World()
    await world.begin()
    file_ids = [
        row.file_id
        for row in await world.store.read(catalogue_read.files_changed, "ctao", 0, limit=9)
    ]
    rule = (await world.store.read(rule_records.rules))[0].rule_id
    (ordered,) = await world.store.write(
        rule_records.order_transfers, [(rule, file_ids[0], "cscs")]
    )
    for _ in range(3):  # it crashed before the job's number was kept
        world.carrier = world.new_carrier()
        await world.turn()

    kept = {one.transfer_id: one.job_id for one in await world.store.read(rule_records.transfers)}
    assert kept[ordered.transfer_id] == 1
    assert len(world.jobs) == 2


async def test_a_rule_names_the_jobs_that_make_its_copies_and_what_they_say() -> None:
    world = World()
    await world.begin()
    await world.turn()
    world.store.ended[1] = (JobState.WAITING, "")
    world.store.ended[2] = (JobState.RUNNING, "storage cscs: no such folder")
    told = await (await world.service()).show(ADA, 1)

    assert [(one.id, one.storage, one.state, one.said) for one in told.jobs] == [
        (1, "cscs", JobState.WAITING, ""),
        (2, "cscs", JobState.RUNNING, "storage cscs: no such folder"),
    ]


async def test_a_retry_makes_jobs_that_wait_anew_and_leaves_those_that_run() -> None:
    """A job that waits keeps the sites of its first minute: the storages' files may say others."""
    world = World()
    await world.begin()
    await world.turn()
    world.store.ended[1] = (JobState.WAITING, "")
    told = await (await world.service()).retry(ADA, 1)
    row = await world.turn()

    assert world.acted == [("ada", ActionName.KILL, (1,))]
    assert (told.moving, told.wanted) == (1, 4)
    assert counts(row) == (5, 2, 3, 0)
    assert [one.job_id for one in await world.store.read(rule_records.transfers)] == [2, 3]


async def test_while_there_are_no_rules_the_store_is_not_asked_for_them() -> None:
    world = World()
    service = await world.service()
    for _ in range(3):
        await world.carrier.turn()
    idle = world.store.asked_for_rules
    await world.begin()
    await service.drop(ADA, 1)
    dropped = world.store.asked_for_rules
    await world.carrier.turn()  # nobody has said that there was one
    quiet = world.store.asked_for_rules - dropped
    asked = RuleRequest(copies=2, storages=("pic", "cscs"), query={"run": {">=": 0}})
    await service.add(ADA, asked)
    row = await world.turn()

    assert (idle, quiet) == (1, 0)
    assert counts(row) == (5, 2, 3, 0)
