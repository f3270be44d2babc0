"""Productions on fakes: from a workflow to Completed, and back; whatever ends the central."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from pilotage.central.catalogue import record_read as catalogue_read
from pilotage.central.errors import Refused
from pilotage.central.jobs import record as job_records, record_search as job_search
from pilotage.central.jobs.record_types import JobSearch
from pilotage.central.productions import record as production_records
from pilotage.central.transformations import record as transformation_records
from pilotage.pilot.ports import NoReply
from pilotage.proto.api.productions import (
    NewProduction,
    ProductionAction,
    ProductionActionName,
    ProductionDetail,
    ProductionPreview,
    ProductionView,
)
from pilotage.proto.catalogue import FileState, parse_query
from pilotage.proto.documents.job import Job
from pilotage.proto.documents.workflow import Workflow
from pilotage.proto.job_states import FINAL, JobState
from pilotage.proto.messages import Assignment
from pilotage.proto.production_states import ProductionState as P
from pilotage.proto.transformation_states import (
    InputState as I,
    TaskState as T,
    TransformationState as S,
)
from tests.fake_pilot import Script
from tests.fakes import FakeInstallation

from .publishing import PublishingStore
from .tasks import all_tasks
from .test_data_transformations import ready, story
from .test_on_fakes import lasts

CHAIN: dict[str, Any] = {
    "name": "chain",
    "title": "a chain",
    "software": {"sim": "1.2"},
    "steps": {
        "make": {
            "job": {"command": ["make", "{task}"]},
            "tasks": 4,
            "outputs": {"raw": {"pattern": "*.raw"}},
        },
        "pair": {
            "job": {"command": ["pair", "{raw}"]},
            "inputs": {"raw": {"from": [{"step": "make", "port": "raw"}]}},
            "grouping": {"size": 2},
            "errors_max": 2,
            "outputs": {"pair": {"pattern": "*.pair"}},
        },
        "merge": {
            "job": {"command": ["merge", "{pair}"]},
            "inputs": {"pair": {"from": [{"step": "pair", "port": "pair"}]}},
            "grouping": {"rule": "all"},
            "outputs": {"all": {"pattern": "all"}},
        },
    },
}


def tale(
    tell: Callable[[FakeInstallation], Awaitable[None]],
    *,
    script: Callable[[Assignment], Script] | None = None,
) -> None:
    """Run a central whose jobs publish files, with two pilots, while `tell` says what happens."""

    async def with_files(world: FakeInstallation) -> None:
        await world.kill()
        world.store.__class__ = PublishingStore
        await world.start()
        await ready(world)
        await tell(world)

    story(with_files, script=script or lasts(5.0))


def chain(**fields: Any) -> Workflow:
    return msgspec.convert({**CHAIN, **fields}, Workflow)


async def submitted(world: FakeInstallation, **fields: Any) -> ProductionDetail:
    given: dict[str, Any] = {"workflow": chain(), **fields}
    body = NewProduction(**given)
    made = await world.central.services.productions.add(world.user(), body)
    assert isinstance(made, ProductionDetail)
    return made


async def shown(world: FakeInstallation, named: str = "chain") -> ProductionView:
    return (await world.central.services.productions.show(world.user(), named)).view


async def said(
    world: FakeInstallation, action: str, named: str = "chain", **fields: Any
) -> ProductionDetail:
    body = ProductionAction(action=ProductionActionName(action), **fields)
    return await world.central.services.productions.act(world.user(), named, body)


async def until(
    world: FakeInstallation,
    is_so: Callable[[ProductionView], bool],
    named: str = "chain",
    *,
    limit: int = 2_000,
) -> ProductionView:
    """Wait until a production is as wanted; return it."""
    for _ in range(limit):
        if not world.is_down:
            view = await shown(world, named)
            if is_so(view):
                return view
        await asyncio.sleep(1.0)
    raise AssertionError(f"it stays {await shown(world, named)}")


def is_in(state: P) -> Callable[[ProductionView], bool]:
    return lambda view: view.state is state


def done(view: ProductionView) -> dict[str, int]:
    return {one.step: one.tasks.get(T.DONE, 0) for one in view.steps}


async def all_jobs(world: FakeInstallation) -> dict[int, Job]:
    rows = world.store.by_hand("SELECT job_id, body FROM body")
    return {one: msgspec.json.decode(body, type=Job) for one, body in rows}


async def nothing_is_left(world: FakeInstallation) -> None:
    """Check that no job lives and no file that a job made is in the catalogue."""
    assert all(row.state in FINAL for row in await world.store.read(job_records.counts))
    found = await world.store.read(
        catalogue_read.find_files,
        "ctao",
        parse_query({}),
        states=frozenset(FileState) - {FileState.REMOVED},
        limit=1_000,
    )
    assert [one.did.name for one in found.files if one.job_id is not None] == []


# -- from start to end ----------------------------------------------------------------------------


def test_a_workflow_runs_to_its_end_by_itself() -> None:
    async def tell(world: FakeInstallation) -> None:
        made = await submitted(world)

        assert made.view.state is P.ACTIVE
        assert [one.step for one in made.view.steps] == ["make", "pair", "merge"]
        assert [one.parents for one in made.view.steps] == [(), ("make",), ("pair",)]
        assert made.software == {"sim": "1.2"}
        view = await until(world, is_in(P.COMPLETED))
        assert done(view) == {"make": 4, "pair": 2, "merge": 1}
        assert (view.progress, view.marks, view.title) == (1.0, (), "a chain")
        assert [one.state for one in view.steps] == [S.COMPLETED] * 3
        report = await world.central.services.productions.report(world.user(), "chain")
        assert (report.files, report.bytes) == (7, 70)

    tale(tell)


@pytest.mark.parametrize(("grouping", "groups"), [
    ({"size": 4}, [4, 4, 2]),
    ({"rule": "bytes", "bytes_max": 40}, [4, 4, 2]),
    ({"size": 4, "partial": "never"}, [4, 4]),
])  # fmt: skip
def test_files_of_several_steps_are_grouped_together_as_they_come(
    grouping: dict[str, Any], groups: list[int]
) -> None:
    """Seven of one step and three of another: no file waits for its like, none is in two groups."""
    steps = {
        "one": {**CHAIN["steps"]["make"], "tasks": 7},
        "other": {**CHAIN["steps"]["make"], "tasks": 3},
    }
    (port,) = CHAIN["steps"]["make"]["outputs"]
    both = {
        "job": {"command": ["both", "{raw}"]},
        "inputs": {"raw": {"from": [{"step": one, "port": port} for one in steps]}},
        "grouping": grouping,
    }

    async def tell(world: FakeInstallation) -> None:
        made = await submitted(world, workflow=chain(steps={**steps, "both": both}))
        view = await until(world, is_in(P.COMPLETED))
        last = made.view.steps[-1].transformation
        mine = [one for one in all_tasks(world.store) if one.transformation_id == last]
        inputs = [await world.store.read(catalogue_read.inputs_of_job, one.job_id) for one in mine]

        assert sorted(map(len, inputs), reverse=True) == groups
        files = [one.file_id for some in inputs for one in some]
        assert len(set(files)) == len(files) == sum(groups)
        assert any(len({one.number for one in some}) == 2 for some in inputs), "of both steps"
        assert done(view)["both"] == len(groups)

    tale(tell)


def test_one_that_is_not_started_waits_until_it_is() -> None:
    async def tell(world: FakeInstallation) -> None:
        made = await submitted(world, start=False)
        assert made.view.state is P.NEW
        await asyncio.sleep(100.0)
        assert (await shown(world)).steps[0].tasks_made == 0
        await said(world, "start")
        await said(world, "start")

        assert (await until(world, is_in(P.COMPLETED))).steps[0].tasks == {T.DONE: 4}

    tale(tell)


def test_progress_and_the_time_of_the_end_are_told_and_outlive_a_restart() -> None:
    async def tell(world: FakeInstallation) -> None:
        await submitted(world, workflow=with_tasks(200))
        view = await until(world, lambda v: v.progress > 0.3)
        assert view.eta is not None
        assert view.eta.low <= view.eta.at <= view.eta.high
        await world.kill()
        await world.start()
        await ready(world)
        again = await shown(world)

        assert again.eta is not None
        assert again.progress >= view.progress

    tale(tell, script=lasts(20.0))


def with_tasks(count: int, **fields: Any) -> Workflow:
    steps = {**CHAIN["steps"], "make": {**CHAIN["steps"]["make"], "tasks": count, **fields}}
    return chain(steps=steps)


def test_of_a_short_one_the_time_of_the_end_is_told_before_its_half_is_over() -> None:
    async def tell(world: FakeInstallation) -> None:
        await submitted(world, workflow=with_tasks(16))
        begun = world.clock.wall()
        await until(world, lambda v: v.eta is not None or v.state is P.COMPLETED)
        told = world.clock.wall() - begun
        await until(world, is_in(P.COMPLETED))
        took = world.clock.wall() - begun

        assert told < took / 2
        assert took < 300.0, "it is a short one"

    tale(tell)


def test_a_paused_one_makes_no_tasks_and_goes_on_when_it_is_resumed() -> None:
    async def tell(world: FakeInstallation) -> None:
        await submitted(world, workflow=with_tasks(20, tasks_open_max=2))
        await until(world, lambda v: done(v)["make"] >= 4)
        detail = await said(world, "pause", reason="lunch")
        assert (detail.view.state, detail.view.reason) == (P.PAUSED, "lunch")
        assert {one.state for one in detail.view.steps} == {S.PAUSED}
        assert {one.reason for one in detail.view.steps} == {"lunch"}
        await asyncio.sleep(100.0)
        view = await shown(world)
        assert not any(one.tasks.get(T.CREATED) for one in view.steps)
        assert done(view)["make"] < 20
        await said(world, "resume")

        assert done(await until(world, is_in(P.COMPLETED))) == {"make": 20, "pair": 10, "merge": 1}

    tale(tell)


def test_resume_lets_a_step_go_on_that_a_brake_has_paused() -> None:
    broken = [True]

    def script(assignment: Assignment) -> Script:
        is_make = assignment.body.command[0] == "make"
        return Script(duration_s=5.0, exit_code=1 if broken[0] and is_make else 0)

    async def tell(world: FakeInstallation) -> None:
        flow = with_tasks(30, tasks_open_max=5, pause_when_failed=0.5)
        await submitted(world, workflow=msgspec.structs.replace(flow, allow_partial=1.0))
        view = await until(world, lambda v: bool(v.marks))

        assert view.marks == ("step make is stuck",)
        assert view.state is P.ACTIVE
        broken[0] = False
        detail = await said(world, "resume")
        assert detail.did == ["step make resumed"]
        view = await until(world, is_in(P.COMPLETED))
        assert view.steps[0].tasks_made == 30
        assert done(view)["pair"] == (done(view)["make"] + 1) // 2

    tale(tell, script=script)


def test_an_extended_one_works_again_down_to_its_last_step() -> None:
    async def tell(world: FakeInstallation) -> None:
        await submitted(world)
        await until(world, is_in(P.COMPLETED))
        for _ in range(2):  # it is asked for once, however often it is said
            detail = await said(world, "extend", step="make", tasks=8, was=4, anyway=True)
            assert detail.view.state is P.ACTIVE
        with pytest.raises(Refused, match="step make has 8 tasks now, not 4"):
            await said(world, "extend", step="make", tasks=9, was=4)
        with pytest.raises(Refused, match="did you mean 'make'"):
            await said(world, "extend", step="mak", tasks=9, was=4)
        view = await until(world, lambda v: v.state is P.COMPLETED and done(v)["make"] == 8)

        assert done(view) == {"make": 8, "pair": 4, "merge": 2}

    tale(tell)


def test_a_step_that_somebody_extends_by_itself_takes_the_others_along() -> None:
    async def tell(world: FakeInstallation) -> None:
        from .test_transformations import said as said_to

        made = await submitted(world)
        await until(world, is_in(P.COMPLETED))
        await said_to(world, made.view.steps[0].transformation, "extend", tasks=6, was=4)
        view = await until(world, lambda v: v.state is P.COMPLETED and done(v)["merge"] == 2)

        assert done(view) == {"make": 6, "pair": 3, "merge": 2}

    tale(tell)


def test_what_failed_too_often_is_tried_again_when_a_person_says_so() -> None:
    broken = [True]

    def script(assignment: Assignment) -> Script:
        is_pair = assignment.body.command[0] == "pair"
        return Script(duration_s=5.0, exit_code=1 if broken[0] and is_pair else 0)

    async def tell(world: FakeInstallation) -> None:
        steps = {**CHAIN["steps"], "pair": {**CHAIN["steps"]["pair"], "pause_when_failed": 1.0}}
        await submitted(world, workflow=chain(steps=steps, keys={"level": "number"}))
        view = await until(world, lambda v: len(v.marks) == 2)
        assert view.steps[1].inputs == {I.PROBLEMATIC: 4}
        assert view.marks == ("step merge is stuck", "4 files are stuck")
        broken[0] = False
        detail = await said(world, "fix", problematic=True)
        assert detail.did[0] == "step pair: 4 files are tried again"
        view = await until(world, lambda v: v.state is P.COMPLETED and done(v)["merge"] == 1)

        assert view.steps[1].inputs == {I.PROCESSED: 4}
        assert (await said(world, "fix")).did == ["nothing is stuck"]

    tale(tell, script=script)


def test_the_same_runs_anew_under_another_name() -> None:
    async def tell(world: FakeInstallation) -> None:
        first = await submitted(world, rules="failures: []")
        await until(world, is_in(P.COMPLETED))
        before = await all_jobs(world)
        again = NewProduction(rerun_of="chain", name="again")
        second = await world.central.services.productions.add(world.user(), again)
        assert isinstance(second, ProductionDetail)
        assert second.view.rerun_of == first.view.id
        assert second.view.definition == first.view.definition
        assert second.rules == first.rules
        assert [one.name for one in second.view.steps] == [
            "again-make",
            "again-pair",
            "again-merge",
        ]
        await until(world, is_in(P.COMPLETED), "again")
        after = {one: job for one, job in (await all_jobs(world)).items() if one not in before}

        assert Counter(map(plain, before.values())) == Counter(map(plain, after.values()))

    tale(tell)


def plain(job: Job) -> bytes:
    """Return a job without the dataset that bears the id of its transformation."""
    text = msgspec.json.encode(job, order="sorted")
    for number in range(1, 10):
        text = text.replace(b"transformation-%d" % number, b"transformation-N")
    return text


def test_cleaned_nothing_is_left_and_the_name_is_free() -> None:
    async def tell(world: FakeInstallation) -> None:
        await submitted(world, workflow=with_tasks(20))
        await until(world, lambda v: done(v)["pair"] >= 1)
        one = (await said(world, "clean")).view.id
        view = await until(world, is_in(P.CLEANED), str(one))
        assert {one.state for one in view.steps} == {S.CLEANED}
        await nothing_is_left(world)
        await submitted(world)

        await until(world, is_in(P.COMPLETED))
        with pytest.raises(Refused, match="a production that is Cleaned cannot be"):
            await said(world, "extend", str(one), step="make", tasks=30, was=20)

    tale(tell)


def test_the_priority_is_that_of_jobs_that_wait_and_of_those_that_come() -> None:
    async def tell(world: FakeInstallation) -> None:
        await submitted(world, workflow=with_tasks(30, tasks_open_max=25), priority=3)
        await until(world, lambda v: v.steps[0].tasks_made == 25)
        jobs = await world.store.read(job_search.search, JobSearch(), after=0, limit=100)
        assert {job.priority for job in jobs} == {3}
        detail = await said(world, "priority", priority=9)
        assert detail.view.priority == 9
        await until(world, lambda v: v.steps[0].tasks_made == 30)

        waits = JobSearch(states=(JobState.WAITING,))
        jobs = await world.store.read(job_search.search, waits, after=0, limit=100)
        assert {job.priority for job in jobs} == {9}
        await said(world, "priority", priority=None)
        assert (await shown(world)).priority is None
        jobs = await world.store.read(job_search.search, waits, after=0, limit=100)
        assert {job.priority for job in jobs} == {5}

    tale(tell, script=lasts(50.0))


# -- what is refused ------------------------------------------------------------------------------


def test_the_same_again_is_the_same_and_another_one_is_refused_by_name() -> None:
    async def tell(world: FakeInstallation) -> None:
        first, again = await submitted(world), await submitted(world)
        assert again.view.id == first.view.id
        with pytest.raises(Refused, match="'chain' is the name of production 1"):
            await submitted(world, workflow=with_tasks(5))
        with pytest.raises(Refused, match="'chain' is the name of production 1"):
            await submitted(world, workflow=with_tasks(5), dry_run=True)

        assert (
            len(
                await world.store.read(
                    production_records.productions, None, states=(), after=0, limit=10
                )
            )
            == 1
        )
        assert (
            len(
                await world.store.read(
                    transformation_records.transformations, None, states=(), after=0, limit=10
                )
            )
            == 3
        )

    tale(tell)


@pytest.mark.parametrize("step", ["make", "merge"])
def test_one_that_is_refused_leaves_nothing_wherever_it_is_wrong(step: str) -> None:
    async def tell(world: FakeInstallation) -> None:
        from .test_transformations import added

        bad = {**CHAIN["steps"][step], "job": {"command": ["x"], "group": "others"}}
        with pytest.raises(Refused, match="you may not submit for 'others'"):
            await submitted(world, workflow=chain(steps={**CHAIN["steps"], step: bad}))
        await added(world, name=f"chain-{step}", tasks=1)
        with pytest.raises(Refused, match=f"step {step} would be 'chain-{step}', and transforma"):
            await submitted(world)
        with pytest.raises(Refused, match=f"step {step} would be 'chain-{step}', and transforma"):
            await submitted(world, dry_run=True)

        assert (
            await world.store.read(
                production_records.productions, None, states=(), after=0, limit=10
            )
            == []
        )
        assert (
            len(
                await world.store.read(
                    transformation_records.transformations, None, states=(), after=0, limit=10
                )
            )
            == 1
        )

    tale(tell)


def test_a_store_that_fails_at_any_write_leaves_all_of_it_or_nothing() -> None:
    async def tell(world: FakeInstallation) -> None:
        store = world.store
        for allowed in range(8):
            left = [allowed]

            def failing(left: list[int] = left) -> None:
                left[0] -= 1
                if left[0] < 0:
                    raise OSError("the disk is gone")

            store.committing = failing  # type: ignore[method-assign]
            try:
                await submitted(world, name=f"p{allowed}", start=False)
            except OSError:
                pass
            del store.committing
        kept = await store.read(production_records.productions, None, states=(), after=0, limit=100)
        rows = await store.read(
            transformation_records.transformations, None, states=(), after=0, limit=100
        )

        assert 0 < len(kept) < 8
        steps = await store.read(
            production_records.production_steps, [one.production_id for one in kept]
        )
        assert [len(some) for some in steps.values()] == [3] * len(kept)
        assert len(rows) == 3 * len(kept)

    tale(tell)


def test_what_cannot_be_is_said_with_the_step_and_what_is_wrong() -> None:
    async def tell(world: FakeInstallation) -> None:
        pair = {
            **CHAIN["steps"]["pair"],
            "inputs": {"raw": {"from": [{"step": "mak", "port": "raw"}]}},
        }
        with pytest.raises(Refused, match="step pair: inputs.raw.from.*'make'"):
            await submitted(world, workflow=chain(steps={**CHAIN["steps"], "pair": pair}))
        files = {**CHAIN["steps"]["make"], "files": ["make.sh"]}
        with pytest.raises(Refused, match="'make.sh' was not uploaded"):
            await submitted(world, workflow=chain(steps={**CHAIN["steps"], "make": files}))
        with pytest.raises(Refused, match="expected letters, digits"):
            await submitted(world, name="a b")
        with pytest.raises(Refused, match="there is no production 'chian'"):
            await shown(world, "chian")
        with pytest.raises(Refused, match="name: a rerun needs a new name"):
            await submitted(world, workflow=None, rerun_of="chain")
        await submitted(world)
        with pytest.raises(Refused, match="did you mean 'chain'"):
            await shown(world, "chian")
        with pytest.raises(Refused, match="step make is Active: stop the production first"):
            await said(world, "archive")
        with pytest.raises(Refused, match="step make takes no files"):
            await said(world, "extend", step="make")

    tale(tell)


def test_others_neither_see_nor_steer_it() -> None:
    async def tell(world: FakeInstallation) -> None:
        await submitted(world)
        other = msgspec.structs.replace(world.user(), subject="bo", role=_role("user"))
        service = world.central.services.productions
        with pytest.raises(Refused, match="there is no production"):
            await service.show(other, "chain")
        with pytest.raises(Refused, match="there is no production"):
            await service.act(other, "1", ProductionAction(action=ProductionActionName.CLEAN))
        with pytest.raises(Refused, match="there is no production"):
            await service.add(other, NewProduction(rerun_of="chain", name="mine"))
        page = await service.list(other, states=(), after=0, limit=10)

        assert page.productions == []

    tale(tell)


def _role(name: str) -> Any:
    from pilotage.proto.claims import Role

    return Role(name)


def test_a_dry_run_says_what_it_would_be_and_stores_nothing() -> None:
    async def tell(world: FakeInstallation) -> None:
        body = NewProduction(workflow=chain(), name="other", dry_run=True)
        found = await world.central.services.productions.add(world.user(), body)

        assert isinstance(found, ProductionPreview)
        assert (found.name, found.tasks, found.files) == ("other", 7, 7)
        assert [one.name for one in found.steps] == ["other-make", "other-pair", "other-merge"]
        assert (
            await world.store.read(
                production_records.productions, None, states=(), after=0, limit=10
            )
            == []
        )

    tale(tell)


# -- whatever ends the central --------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_await_it_is_whole_or_not_there_and_completes(seed: int) -> None:
    campaign(seed)


@pytest.mark.long
@pytest.mark.parametrize("start", range(0, 1_000, 100))
def test_killed_at_any_await_in_many_worlds(start: int) -> None:
    for seed in range(start, start + 100):
        campaign(seed)


def campaign(seed: int) -> None:
    """One world: the central is killed while a production starts, runs, is extended and cleaned."""
    chance = random.Random(seed)

    async def killing(world: FakeInstallation, what: Callable[[], Awaitable[object]]) -> None:
        """Do something until it is answered, while the central is killed at any moment."""
        while True:
            task = asyncio.get_running_loop().create_task(_as_coroutine(what()))
            await asyncio.wait([task], timeout=chance.random() * 1.5)
            if task.done() and chance.random() < 0.6:
                task.result()
                return
            task.cancel()  # whoever asked hears nothing
            await asyncio.wait([task])
            await world.kill()
            await asyncio.sleep(chance.random())
            await world.start()
            await ready(world)
            check(world)

    def check(world: FakeInstallation) -> None:
        made = "SELECT (SELECT count(*) FROM transformation), (SELECT count(*) FROM production)"
        (rows, productions) = world.store.by_hand(made)[0]
        assert rows == 3 * productions, f"seed {seed}"

    async def whole(
        world: FakeInstallation, is_so: Callable[[ProductionView], bool], named: str
    ) -> ProductionView:
        for _ in range(100):
            try:
                return await until(world, is_so, named, limit=chance.randint(2, 30))
            except (AssertionError, NoReply):
                if chance.random() < 0.5:
                    await world.kill()
                    await world.start()
                    await ready(world)
        raise AssertionError(f"seed {seed}: {await shown(world, named)}")

    async def tell(world: FakeInstallation) -> None:
        PublishingStore.chance = chance
        await killing(world, lambda: submitted(world))
        view = await whole(world, is_in(P.COMPLETED), "chain")
        assert done(view) == {"make": 4, "pair": 2, "merge": 1}, f"seed {seed}"
        await killing(
            world, lambda: said(world, "extend", step="make", tasks=6, was=4, anyway=True)
        )
        view = await whole(
            world, lambda v: v.state is P.COMPLETED and done(v)["make"] == 6, "chain"
        )
        assert (done(view)["pair"], done(view)["merge"]) == (3, 2), f"seed {seed}"
        one = str(view.id)
        await killing(world, lambda: said(world, "clean", one))
        await whole(world, is_in(P.CLEANED), one)
        await nothing_is_left(world)

    try:
        tale(tell, script=lambda assignment: Script(duration_s=chance.random() * 10.0))
    finally:
        PublishingStore.chance = None


async def _as_coroutine(what: Awaitable[object]) -> None:
    await what
