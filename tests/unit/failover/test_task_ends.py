"""What the rules say of tasks, out of nothing but the attempts of those before."""

import errno
import os
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest

from pilotage.central.accounts import record_failures as failure_records
from pilotage.central.catalogue import record_read as catalogue_read
from pilotage.central.catalogue.record_types import FileRow
from pilotage.central.failover import record as failover_records
from pilotage.central.failover.decisions import Decision
from pilotage.central.failover.record import TaskDecision
from pilotage.central.failover.rule_book import RuleBook
from pilotage.central.failover.rules import RuleVerb, default_rules
from pilotage.central.failover.site_capacity import MaxGrant
from pilotage.central.failover.task_ends import (
    ELSEWHERE_S,
    Stderr,
    TaskEndRepairs,
    judged,
    last_line_in,
    stderr_in,
)
from pilotage.central.jobs import record as job_records
from pilotage.central.jobs.record_types import AttemptRow
from pilotage.central.productions import record as production_records
from pilotage.central.transformations import record as transformation_records
from pilotage.central.transformations.record import (
    EndInput,
    ProductionStep,
    StateCounts,
    TaskEnd,
)
from pilotage.central.transformations.repairs import Repair, RepairBounds, RetryGroup, asking
from pilotage.matcher.types import Grant
from pilotage.proto.catalogue import Did, FileState
from pilotage.proto.documents.job import Job, Need
from pilotage.proto.failures import Evidence
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import How, Output
from pilotage.proto.production_states import ProductionState
from pilotage.proto.transformation_states import InputEvent, TaskState
from tests.fake_central import FakeBlobs
from tests.memory_store import MemoryStore, way

RULES = default_rules()
BOUNDS = RepairBounds(can_be_split=True, errors_max=10)
WHOLE = RepairBounds(can_be_split=False, errors_max=10)
ROW = AttemptRow(
    attempt_id=1,
    job_id=1,
    epoch=1,
    round=1,
    pilot="p",
    session=1,
    ask=1,
    site="PIC",
    element="ce",
    host="n1",
    grant=Grant(1, 1_500, 0, 600.0),
    state=None,
    live=False,
    open=False,
    wanted=None,
    matched_at=1.0,
    started_at=2.0,
    ended_at=100.0,
    how=How.EXITED,
    exit_code=3,
    detail="",
    isolation="",
    usage=None,
    outputs=(),
    progress=(),
    event="payload_failed",
    reason="exit code 3",
)


def failed(host: str = "n1", how: How = How.EXITED, memory_mb: int = 1_500) -> AttemptRow:
    return msgspec.structs.replace(ROW, host=host, how=how, grant=Grant(1, memory_mb, 0, 600.0))


def a_file(file_id: int) -> FileRow:
    return FileRow(
        file_id=file_id,
        did=Did("ctao", f"run{file_id}"),
        bytes=1,
        adler32="",
        sha256="",
        state=FileState.AVAILABLE,
        set_id=1,
        own={},
        metadata={},
        owner_id=1,
        job_id=None,
        epoch=None,
        created_at=1.0,
        seq=1,
    )


def an_end(files: int, errors: int = 0) -> TaskEnd:
    inputs = tuple(
        EndInput(transformation_id=5, file_id=i + 1, input_no=0, errors=errors, has_heir=False)
        for i in range(files)
    )
    return TaskEnd(
        task_id=9, transformation_id=5, number=1, job_id=77, state=JobState.FAILED, inputs=inputs
    )


async def nothing(attempt: AttemptRow) -> bytes:
    return b""


class Past(MemoryStore):
    """What the store knows: one job after the other had the files, with its attempts."""

    def __init__(self, *jobs: list[AttemptRow]) -> None:
        super().__init__()
        self.jobs = list(jobs)
        self.told: list[dict[str, object]] = []
        self.own_rules = ""
        self.noted: list[TaskDecision] = []
        self.failed_there = 0
        self.done = 0  # tasks of the transformation
        self.sites_give = MaxGrant()
        self.stderr: Stderr = nothing
        self.suspended: list[tuple[str, str, float]] = []

    @way(failure_records.jobs_of_input)
    async def jobs_of_input(
        self, plain: Any, transformation_id: int, file_id: int, *, limit: int
    ) -> list[int]:
        return [number for number, _ in enumerate(self.jobs)][-limit:]

    @way(job_records.attempts)
    async def attempts(self, plain: Any, job_id: int) -> list[AttemptRow]:
        return self.jobs[job_id]

    def log(self, event: str, **facts: object) -> None:
        self.told.append({"event": event, **facts})

    async def most(self, transformation_id: int, job: Job) -> MaxGrant:
        return self.sites_give

    @property
    def rules(self) -> TaskEndRepairs:
        return TaskEndRepairs(
            store=self,
            rules=RuleBook(self, RULES, self.log, rules_of=production_records.rules_of),
            stderr=self.stderr,
            places=self,
            limits=self,
            log=self.log,
        )

    # -- rules of productions -------------------------------------------------------------------

    @way(production_records.rules_of)
    async def rules_of(self, plain: Any, transformation_id: int) -> str | None:
        return self.own_rules

    @way(transformation_records.steps_of)
    async def steps_of(
        self, plain: Any, transformation_ids: Sequence[int]
    ) -> dict[int, ProductionStep]:
        step = ProductionStep(
            production_id=1, production="p", step="dl1", state=ProductionState.ACTIVE
        )
        return dict.fromkeys(transformation_ids, step) if self.own_rules else {}

    @way(transformation_records.transformation_counts)
    async def transformation_counts(
        self, plain: Any, transformation_ids: Sequence[int]
    ) -> dict[int, StateCounts]:
        counts = StateCounts(inputs={}, tasks={TaskState.DONE: self.done})
        return dict.fromkeys(transformation_ids, counts)

    # -- files and hosts ------------------------------------------------------------------------

    @way(catalogue_read.files_by_id)
    async def files_by_id(self, plain: Any, file_ids: Sequence[int]) -> dict[int, FileRow]:
        return {one: a_file(one) for one in file_ids}

    @way(failover_records.note_decisions)
    async def note_decisions(self, plain: Any, decisions: Sequence[TaskDecision]) -> None:
        self.noted += decisions

    def failed_lately(self, site: str, host: str, *, besides: int) -> int:
        return self.failed_there

    def suspend(self, site: str, host: str, *, for_s: float, why: str) -> bool:
        self.suspended.append((site, host, for_s))
        return True

    async def verdict(
        self, files: int, bounds: RepairBounds = BOUNDS, *, errors: int = 0
    ) -> InputEvent | None:
        end = an_end(files, errors)
        found = (await self.rules.verdicts([end], {5: bounds})).get(9, Repair()).bad
        assert set(found) in (set(), {i + 1 for i in range(files)})
        return next(iter(found.values()), None)


async def test_a_task_that_ran_out_of_memory_gets_more_each_time_and_keeps_it() -> None:
    past = Past([failed(how=How.MEMORY)])
    assert await past.rules.again(5, [1, 2], BOUNDS) == [RetryGroup((1, 2), memory_mb=3_000)]

    past.jobs.append([failed(how=How.MEMORY, memory_mb=3_000)])
    assert await past.rules.again(5, [1, 2], BOUNDS) == [RetryGroup((1, 2), memory_mb=6_000)]

    past.jobs.append([failed(how=How.EXITED, memory_mb=6_000)])
    (again,) = await past.rules.again(5, [1, 2], BOUNDS)
    assert again.memory_mb == 6_000


async def test_a_bad_input_is_found_by_halves_and_is_problematic_alone() -> None:
    past = Past([failed("n1")])
    assert await past.rules.again(5, [1, 2, 3], BOUNDS) == [
        RetryGroup((1, 2, 3), after=100.0, avoid=(("PIC", "n1"),), avoid_s=ELSEWHERE_S)
    ]
    assert await past.verdict(3) is None

    past.jobs.append([failed("n2")])
    assert await past.rules.again(5, [3, 1, 2], BOUNDS) == [RetryGroup((1, 2)), RetryGroup((3,))]
    assert await past.verdict(3) is None
    assert await past.rules.verdicts([an_end(3)], {5: BOUNDS}) == {
        9: Repair(is_split=True, is_retried=True)
    }
    assert await past.verdict(1) is InputEvent.BAD_DATA


def kinds(past: Past) -> list[tuple[RuleVerb, str]]:
    decided = (msgspec.json.decode(one.said, type=tuple[Decision, ...]) for one in past.noted)
    return [(one.do, one.rule) for some in decided for one in some]


async def test_what_cannot_be_split_is_left_to_a_person_and_never_said_to_be_split() -> None:
    same = Past([failed("n1")], [failed("n1")])
    assert await same.verdict(2, WHOLE) is None
    same.jobs.append([failed("n1")])
    assert await same.verdict(2, WHOLE) is InputEvent.TASK_FAILED_LAST
    assert kinds(same) == [
        (RuleVerb.RETRY, "fails by itself"),
        (RuleVerb.GIVE_UP, "no rule is left"),
    ]

    two = Past([failed("n1")], [failed("n2")])
    assert await two.verdict(2, WHOLE) is InputEvent.TASK_FAILED_LAST
    assert kinds(two) == [(RuleVerb.GIVE_UP, "fails alike on two hosts")]
    assert len(await two.rules.again(5, [1, 2], WHOLE)) == 1


async def test_the_last_failure_that_errors_max_allows_is_no_retry() -> None:
    past = Past([failed("n1")])
    three = RepairBounds(can_be_split=True, errors_max=3)
    assert await past.verdict(2, three, errors=1) is None
    assert await past.verdict(2, three, errors=2) is InputEvent.TASK_FAILED_LAST
    assert kinds(past) == [(RuleVerb.RETRY, "fails by itself"), (RuleVerb.GIVE_UP, "errors_max 3")]

    past.jobs.append([failed("n2")])
    assert await past.verdict(1, three, errors=2) is InputEvent.BAD_DATA, "it is known why"


async def test_two_attempts_of_one_job_on_two_hosts_say_as_much_as_two_jobs() -> None:
    past = Past([failed("n1"), failed("n2")])

    assert await past.verdict(1) is InputEvent.BAD_DATA


async def test_what_fails_otherwise_on_each_host_is_left_to_a_person() -> None:
    other = msgspec.structs.replace(failed("n2"), exit_code=4, reason="exit code 4")
    third = msgspec.structs.replace(failed("n3"), exit_code=5, reason="exit code 5")
    past = Past([failed("n1")], [other])
    assert await past.verdict(1) is None

    past.jobs.append([third])
    assert await past.verdict(1) is InputEvent.TASK_FAILED_LAST


async def test_a_wrong_command_pauses_its_transformation_and_its_inputs_are_spared() -> None:
    past = Past([msgspec.structs.replace(failed("n1"), exit_code=127)])
    assert await past.verdict(2) is None

    past.jobs.append([msgspec.structs.replace(failed("n2"), exit_code=127)])
    past.told.clear()
    spared = dict.fromkeys((1, 2), InputEvent.TASK_SPARED)
    assert await past.rules.verdicts([an_end(2)], {5: BOUNDS}) == {
        9: Repair(spared, pause="failover: no such command: ")
    }
    assert past.told == [
        {
            "event": "failover_decided",
            "transformation": 5,
            "task": 1,
            "job": 77,
            "failure": "config",
            "rule": "no such command",
            "do": "pause",
            "dry_run": False,
        }
    ]

    past.done = 1
    assert await past.rules.verdicts([an_end(2)], {5: BOUNDS}) == {9: Repair(is_retried=True)}


async def test_what_did_well_in_between_wipes_the_slate_and_what_was_killed_is_no_failure() -> None:
    good = msgspec.structs.replace(ROW, event="succeeded", exit_code=0)
    past = Past([failed("n1")], [failed("n2")], [good])
    assert await past.rules.again(5, [1], BOUNDS) == []

    past.jobs.append([failed("n3")])
    (again,) = await past.rules.again(5, [1], BOUNDS)
    assert (again.after, again.avoid) == (100.0, (("PIC", "n3"),))
    assert await Past().rules.again(5, [1], BOUNDS) == []
    killed = msgspec.structs.replace(ROW, how=How.STALE, event="lost")
    assert await Past([killed]).verdict(1) is None


def test_each_task_draws_once_on_its_budget_however_many_attempts_it_had() -> None:
    one = Evidence(how=How.INPUT, host="n1", detail="a:b: time-out")
    for tasks in range(1, 9):
        verdict = judged(RULES, [[one, one, one]] * tasks, inputs=1)
        assert verdict is not None and verdict.find(RuleVerb.RETRY) is not None
    verdict = judged(RULES, [[one]] * 9, inputs=1)

    assert verdict is not None and verdict.find(RuleVerb.GIVE_UP) is not None


def test_the_half_of_a_task_has_budgets_of_its_own() -> None:
    first = Evidence(how=How.EXITED, exit_code=2, host="n9", fingerprint="library")
    bad = [
        Evidence(how=How.EXITED, exit_code=1, host=f"n{n}", fingerprint="block") for n in range(4)
    ]
    crash = Evidence(how=How.EXITED, signal=11, host="n5")
    tasks = [[first], [bad[0]], [bad[1]]]  # two retries, then alike on two hosts
    halved = judged(RULES, tasks, inputs=2)
    assert halved is not None and halved.find(RuleVerb.BISECT) is not None

    alone = judged(RULES, [*tasks, [crash]], inputs=1)
    found = judged(RULES, [*tasks, [crash], [bad[2]]], inputs=1)

    assert alone is not None and alone.find(RuleVerb.RETRY) is not None
    assert found is not None and found.find(RuleVerb.PROBLEMATIC) is not None


def test_a_job_asks_for_more_and_never_for_less() -> None:
    job = Job(
        command=("run",),
        needs=(
            Need(memory_mb=1_000, wall_s=600),
            Need(memory_per_core_mb=1_000, cores_min=2),
            Need(memory_mb=9_000),
        ),
    )

    more = asking(job, RetryGroup((1,), memory_mb=3_000, wall_s=900))

    assert more.needs == (
        Need(memory_mb=3_000, wall_s=900),
        Need(memory_mb=1_000, memory_per_core_mb=1_000, cores_min=2),
        Need(memory_mb=9_000),
    )
    assert asking(job, RetryGroup((1,))) == job


async def test_where_others_failed_too_the_host_is_suspended_and_avoided_for_an_hour() -> None:
    past = Past([failed("n7", How.SOFTWARE)])
    past.failed_there = 1
    assert await past.verdict(2) is None
    assert past.suspended == []

    past.failed_there = 2
    assert await past.verdict(2) is None
    assert past.suspended == [("PIC", "n7", 3_600.0)]
    (again,) = await past.rules.again(5, [1, 2], BOUNDS)
    assert (again.avoid, again.avoid_s) == ((("PIC", "n7"),), 3_600.0)


async def test_of_an_input_without_a_good_copy_the_named_one_is_missing_and_others_go_on() -> None:
    past = Past([msgspec.structs.replace(failed(how=How.NO_START), detail="ctao:run2: it is lost")])
    ends = [an_end(files=3)]

    assert await past.rules.verdicts(ends, {5: BOUNDS}) == {9: Repair({2: InputEvent.NOT_THERE})}
    assert await past.rules.verdicts([an_end(files=1)], {5: BOUNDS}) == {
        9: Repair({1: InputEvent.NOT_THERE})
    }


async def test_what_was_decided_is_noted_for_the_report() -> None:
    past = Past([failed("n1")])
    await past.verdict(3)

    (note,) = past.noted
    assert (note.transformation_id, note.task_id) == (5, 9)
    (made,) = msgspec.json.decode(note.said, type=tuple[Decision, ...])
    assert (made.rule, made.do, made.elsewhere) == ("fails by itself", RuleVerb.RETRY, True)


async def test_rules_of_a_production_come_first_and_only_at_their_steps() -> None:
    past = Past([failed("n1")])
    past.own_rules = (
        "failures:\n- {name: never, when: {steps: [dl1], exit_codes: [3]}, then: [{do: give_up}]}\n"
    )
    assert await past.verdict(3) is InputEvent.TASK_FAILED_LAST

    past.own_rules = past.own_rules.replace("dl1", "dl2")
    assert await past.verdict(3) is None


async def test_rules_that_do_not_read_any_more_leave_the_default_ones() -> None:
    past = Past([failed("n1")], [failed("n2")])
    past.own_rules = "failures:\n- {name: a, then: [{do: dance}]}\n"

    assert await past.verdict(1) is InputEvent.BAD_DATA
    assert past.told[0]["event"] == "failover_rules_unread"


@pytest.mark.parametrize(
    "then", ["[{do: suspend_host, host_s: 900}]",
             "[{do: suspend_host, host_s: 900}, {do: retry}]"],
)  # fmt: skip
async def test_a_rule_of_a_production_keeps_its_task_off_a_host_and_nobody_else(then: str) -> None:
    past = Past([failed("n1")])
    past.own_rules = f"failures:\n- {{name: mine, when: {{exit_codes: [3]}}, then: {then}}}\n"

    assert await past.verdict(1) is None
    assert past.suspended == []
    (again,) = await past.rules.again(5, [1], BOUNDS)
    assert (again.avoid, again.avoid_s) == ((("PIC", "n1"),), 900)


async def test_a_rule_in_the_place_of_one_of_ours_suspends_no_host_either() -> None:
    past = Past([failed("n1")])
    ours = next(one for one in RULES.failures if one.then[0].do is RuleVerb.SUSPEND_HOST)
    past.own_rules = (
        f"failures:\n- {{name: {ours.name}, then: [{{do: suspend_host, host_s: 9}}]}}\n"
        "- {name: first, when: {exit_codes: [1]}, then: [{do: give_up}]}\n"
    )
    await past.verdict(1)
    assert past.suspended == []


async def test_rules_of_ours_suspend_hosts_also_for_productions_with_own_ones() -> None:
    past = Past([failed("n7", How.SOFTWARE)])
    past.own_rules = "failures:\n- {name: x, when: {exit_codes: [77]}, then: [{do: give_up}]}\n"
    past.failed_there = 2
    assert await past.verdict(1) is None
    assert past.suspended == [("PIC", "n7", 3_600.0)]


@pytest.mark.parametrize(
    ("gives", "expected"),
    [
        (MaxGrant(), [(3_000, 2)]),
        (MaxGrant(memory_mb=2_500), [(2_500, 2)]),
        (MaxGrant(memory_mb=1_500), [(0, 1), (0, 1)]),  # no site gives more: halves of its inputs
    ],
)
async def test_memory_grows_no_further_than_sites_give(
    gives: MaxGrant, expected: list[tuple[int, int]]
) -> None:
    past = Past([failed("n1", How.MEMORY)])
    past.sites_give = gives
    bounds = RepairBounds(can_be_split=True, errors_max=10, job=Job(command=("run",)))

    plans = await past.rules.again(7, [1, 2], bounds)
    assert [(plan.memory_mb, len(plan.file_ids)) for plan in plans] == expected


async def test_time_grows_no_further_than_sites_give_and_one_input_is_left_to_a_person() -> None:
    past = Past([failed("n1", How.WALL)])
    bounds = RepairBounds(can_be_split=True, errors_max=10, job=Job(command=("run",)))

    for wall_s, expected in ((0, 900), (720, 720)):
        past.sites_give = MaxGrant(wall_s=wall_s)
        (plan,) = await past.rules.again(7, [1], bounds)
        assert plan.wall_s == expected
    past.sites_give = MaxGrant(wall_s=600)
    assert await past.verdict(1, bounds) is InputEvent.TASK_FAILED_LAST


class BadDisk(FakeBlobs):
    """Gives the beginning of each file, then an error."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    async def read(self, sha256: str) -> AsyncIterator[bytes]:
        yield b"a part"
        raise OSError(self._number, os.strerror(self._number), sha256)


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ESTALE, errno.EMFILE])
async def test_standard_error_that_cannot_be_read_is_told_and_the_rules_judge_without_it(
    number: int,
) -> None:
    kept = msgspec.structs.replace(failed("n1"), outputs=(Output(".pilotage/stderr", "a" * 64, 6),))
    past = Past([kept])
    blobs = BadDisk(number)
    past.stderr = stderr_in(blobs, past.log)

    assert await past.verdict(1) is None
    assert past.told[0]["event"] == "stderr_unread"
    assert os.strerror(number) in str(past.told[0]["why"])
    assert await last_line_in(blobs, past.log)(kept) == ""
