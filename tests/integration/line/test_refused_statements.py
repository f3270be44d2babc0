"""The store refuses a statement for what is in it: that one is put aside, all others go on."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from pilotage.central.accounts import record_series as series_records
from pilotage.central.failover import record as failover_records
from pilotage.central.identity import actions as action_records
from pilotage.central.jobs import (
    record as job_records,
    record_retention as retention_records,
    record_submissions as submission_records,
)
from pilotage.central.observe.metrics import MetricsPage
from pilotage.central.productions import record as production_records
from pilotage.central.store.errors import StoreError
from pilotage.central.transformations import record as transformation_records
from pilotage.proto.documents.job import Need
from pilotage.proto.job_states import JobState
from pilotage.proto.production_states import ProductionState as P
from pilotage.proto.transformation_states import TaskState as T, TransformationState as S
from tests.fakes import FakeInstallation

from . import (
    test_data_transformations as data,
    test_failover_cycle as failover,
    test_productions as flows,
)
from .test_on_fakes import lasts, states, story, submission, submit
from .test_transformations import added, is_in, said, shown, until

WHY = "the store refused it: index row requires 60040 bytes, maximum size is 8191"


def refuse(world: FakeInstallation, verb: object, is_it: Callable[[Any], bool]) -> Sequence[object]:
    """Let the store refuse what a verb is called with first; return what it has refused so far."""
    refused: list[object] = []

    async def called(plain: Any, *given: Any, **named: Any) -> Any:
        if is_it(given[0]):
            refused.append(given)
            raise StoreError(WHY)
        return await plain(*given, **named)

    world.store.ways[verb] = called
    return refused


def of(transformation_id: int) -> Callable[[Any], bool]:
    return lambda one: bool(one == transformation_id)


def test_a_transformation_whose_tasks_are_refused_is_paused_and_the_others_go_on() -> None:
    async def tell(world: FakeInstallation) -> None:
        refused = refuse(world, transformation_records.make_tasks, of(1))
        bad, good = await added(world, tasks=3), await added(world, name="good", tasks=3)
        view = await until(world, bad, is_in(S.PAUSED))
        await until(world, good, is_in(S.COMPLETED))
        later = await added(world, name="later", tasks=2)

        assert view.reason == WHY
        assert (await until(world, later, is_in(S.COMPLETED))).tasks == {T.DONE: 2}
        assert len(refused) == 1
        await said(world, bad, "resume")
        await asyncio.sleep(5.0)
        assert (await until(world, bad, is_in(S.PAUSED))).reason == WHY
        assert len(refused) == 2

    story(tell, script=lasts(5.0))


def test_a_class_that_is_refused_pauses_the_transformation_that_needs_it() -> None:
    async def tell(world: FakeInstallation) -> None:
        refuse(
            world,
            submission_records.classes,
            lambda wanted: any(b"Nowhere" in one.needs for one in wanted),
        )
        needs = [{"sites": ["Nowhere"]}]
        bad = await added(world, tasks=3, job={"command": ["run"], "needs": needs})
        good = await added(world, name="good", tasks=3)

        assert (await until(world, bad, is_in(S.PAUSED))).reason == WHY
        assert (await until(world, good, is_in(S.COMPLETED))).tasks == {T.DONE: 3}

    story(tell, script=lasts(5.0))


def test_one_whose_pause_is_refused_too_is_left_alone() -> None:
    async def tell(world: FakeInstallation) -> None:
        made = refuse(world, transformation_records.make_tasks, of(1))
        paused = refuse(
            world,
            transformation_records.move_transformation,
            lambda move: move.transformation_id == 1,
        )
        bad, good = await added(world, tasks=3), await added(world, name="good", tasks=3)

        assert (await until(world, good, is_in(S.COMPLETED))).tasks == {T.DONE: 3}
        await asyncio.sleep(100.0)
        assert (await shown(world, bad)).state is S.ACTIVE
        assert (len(made), len(paused)) == (1, 1), "it is not tried again and again"

    story(tell, script=lasts(5.0))


def test_one_that_cannot_be_read_is_paused_and_the_others_go_on() -> None:
    async def tell(world: FakeInstallation) -> None:
        refuse(world, transformation_records.last_ends, of(1))
        bad, good = await added(world, tasks=3), await added(world, name="good", tasks=3)

        assert (await until(world, good, is_in(S.COMPLETED))).tasks == {T.DONE: 3}
        row = await world.store.read(transformation_records.transformation, bad)
        assert row is not None and (row.state, row.reason) == (S.PAUSED, WHY)

    story(tell, script=lasts(5.0))


def test_one_whose_files_are_refused_is_paused_and_the_others_get_theirs() -> None:
    async def tell(world: FakeInstallation) -> None:
        await data.registered(world, range(1, 4))
        refused = refuse(world, transformation_records.seed, of(1))
        bad = await added(world, **data.EVENTS)
        good = await added(world, name="good", **data.EVENTS)

        assert (await until(world, bad, is_in(S.PAUSED))).reason == WHY
        await until(world, good, lambda view: view.tasks == {T.DONE: 3})
        await asyncio.sleep(100.0)
        assert len(refused) == 2, "once more when it was read again, as Paused"

    data.story(tell, script=lasts(5.0))


def test_files_that_are_refused_wait_and_tasks_are_made_meanwhile() -> None:
    async def tell(world: FakeInstallation) -> None:
        await data.registered(world, range(1, 3))
        one = await added(world, **data.EVENTS)
        await until(world, one, lambda view: view.tasks == {T.DONE: 2})
        refused = refuse(
            world, transformation_records.add_inputs, lambda inputs: bool(inputs) and not is_over
        )
        is_over = False
        await data.registered(world, range(3, 5))
        good = await added(world, name="good", tasks=3)

        assert (await until(world, good, is_in(S.COMPLETED))).tasks == {T.DONE: 3}
        is_over = len(refused) > 0
        assert is_over
        await until(world, one, lambda view: view.tasks == {T.DONE: 4})

    data.story(tell, script=lasts(5.0))


def test_the_end_of_a_task_that_is_refused_holds_up_no_other() -> None:
    async def tell(world: FakeInstallation) -> None:
        one = await added(world, tasks=3)
        await until(world, one, lambda view: view.tasks_made == 3)
        bad, *_ = await world.store.read(
            transformation_records.tasks, one, states=(), after=0, limit=9
        )
        refuse(
            world,
            transformation_records.close_tasks,
            lambda closes: bad.task_id in {it.task_id for it in closes},
        )
        good = await added(world, name="good", tasks=3)

        assert (await until(world, good, is_in(S.COMPLETED))).tasks == {T.DONE: 3}
        await until(world, one, lambda view: view.tasks == {T.DONE: 2, T.CREATED: 1})

    story(tell, script=lasts(5.0))


def test_a_list_that_is_refused_is_asked_for_again() -> None:
    async def tell(world: FakeInstallation) -> None:
        left = [3]

        def is_it(_: object) -> bool:
            left[0] -= 1
            return left[0] >= 0

        refuse(world, transformation_records.task_ends, is_it)
        one = await added(world, tasks=3)

        assert (await until(world, one, is_in(S.COMPLETED))).tasks == {T.DONE: 3}
        assert left[0] < 0

    story(tell, script=lasts(5.0))


def test_a_production_that_is_refused_is_looked_at_again_and_the_others_complete() -> None:
    async def tell(world: FakeInstallation) -> None:
        is_over = False
        refused = refuse(
            world,
            production_records.move_production,
            lambda move: is_of_first(move) and not is_over,
        )
        first = (await flows.submitted(world)).view.id
        await flows.submitted(world, name="other")

        def is_of_first(move: Any) -> bool:
            return bool(move.production_id == first and move.new is P.COMPLETED)

        await asyncio.sleep(1_000.0)
        assert (await flows.shown(world, "other")).state is P.COMPLETED
        assert refused and (await flows.shown(world)).state is P.ACTIVE
        is_over = True
        await asyncio.sleep(60.0)
        assert (await flows.shown(world)).state is P.COMPLETED

    flows.tale(tell)


def test_a_cycle_of_failover_that_is_refused_for_one_is_kept_for_the_others() -> None:
    async def tell(world: FakeInstallation) -> None:
        refused = refuse(
            world, failover_records.keep_cycle, lambda kept: kept.row.transformation_id == 1
        )
        await data.registered(world, range(1, 7))
        await added(world, **failover.GIVEN, grouping={"size": 4})
        good = await added(world, name="good", **failover.GIVEN, grouping={"size": 4})

        assert (await until(world, good, is_in(S.COMPLETED))).tasks == {T.DONE: 2}
        await asyncio.sleep(3 * failover.CYCLE_S)
        assert len(refused) > 1, "each cycle tries it"

    data.story(tell, script=lasts(5.0))


def test_a_mail_that_cannot_be_kept_is_not_sent_again_and_again() -> None:
    postman = failover.Postman(away=0)

    async def tell(world: FakeInstallation) -> None:
        world.mailer = postman
        await world.kill()
        await world.start()
        refused = refuse(world, failover_records.mailed, lambda report_id: report_id == 1)
        await data.registered(world, range(1, 7))
        for name in ("bad", "good"):
            one = await added(world, name=name, **failover.GIVEN, grouping={"size": 4})
            await until(world, one, is_in(S.COMPLETED))
            await asyncio.sleep(300.0)

        assert len(refused) == 1
        assert len({key for _, _, key in postman.mails}) == len(postman.mails) == 2

    data.story(tell, script=lasts(5.0))


def test_what_the_watch_is_refused_comes_again_and_its_other_parts_are_done() -> None:
    async def tell(world: FakeInstallation) -> None:
        left = [3]

        def is_it(_: object) -> bool:
            left[0] -= 1
            return left[0] >= 0

        refuse(world, job_records.move, is_it)
        await submit(world, submission(2, queue_s=60, needs=(Need(sites=("Nowhere",)),)))
        await asyncio.sleep(500.0)

        assert await states(world) == {JobState.FAILED: 2}

    story(tell, script=lasts(5.0))


def test_counts_that_are_refused_come_again_with_the_next() -> None:
    async def tell(world: FakeInstallation) -> None:
        is_over = False
        refused = refuse(world, series_records.keep_counts, lambda _: not is_over)
        await submit(world, submission(2))
        await asyncio.sleep(100.0)

        assert await states(world) == {JobState.DONE: 2}
        tried = len(refused)
        assert tried > 3 and world.central.probe.full == "", "there is room"
        is_over = True
        await asyncio.sleep(30.0)
        written = MetricsPage(world.central.probe.write_s.collect()).text()
        assert len(refused) == tried and "_count 0.0" not in written

    story(tell, script=lasts(5.0))


def test_retention_goes_on_with_its_other_parts() -> None:
    async def tell(world: FakeInstallation) -> None:
        refused = refuse(world, action_records.prune_actions, lambda _: True)
        asked = refuse(world, retention_records.prune_evidence, lambda _: True)
        await asyncio.sleep(1_000.0)

        assert refused and asked
        assert await states(world) == {}

    story(tell, script=lasts(5.0))
