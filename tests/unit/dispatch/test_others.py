"""Submissions of other processes: queued once, whatever was read of them before."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, cast

from pilotage.central.accounts.counters import Counters
from pilotage.central.accounts.tally import Tally
from pilotage.central.dispatch import record_arrivals as arrival_records
from pilotage.central.dispatch.follow_up import FollowUp
from pilotage.central.dispatch.idle_classes import KEEP_S, IdleClasses
from pilotage.central.dispatch.memory import Memory
from pilotage.central.dispatch.queue import JobQueue
from pilotage.central.dispatch.record_arrivals import Arrival, Run
from pilotage.central.dispatch.submissions.remote_arrivals import ArrivalPoller, learn_classes
from pilotage.central.identity import record as identity_records
from pilotage.central.identity.pilot_tokens import PilotTokens
from pilotage.central.identity.record_types import Owner
from pilotage.central.identity.scope import Owners
from pilotage.central.jobs import record_submissions as submission_records
from pilotage.central.jobs.classes import JobClasses
from pilotage.central.jobs.feed import Feed
from pilotage.central.jobs.leases import LeaseTable
from pilotage.central.jobs.output.live_logs import LiveLogs
from pilotage.central.jobs.record_types import JobClassRow
from pilotage.central.pilots.presence import Pilots
from pilotage.central.store.errors import StoreBroken
from pilotage.matcher import Matcher
from pilotage.matcher.rules import Rules
from pilotage.proto.job_states import JobState
from tests.fake_bus import FakeBroker, FakeBus
from tests.fake_central import FakeClock
from tests.fakes import LoopClock
from tests.memory_store import MemoryStore, way

ADA = Owner(community="ctao", issuer="local", subject="ada")


class Database(MemoryStore):
    """A store that others write to: what `new` says is what they have taken in since."""

    def __init__(self) -> None:
        super().__init__()
        self.new: list[tuple[Arrival, list[Run]]] = []
        self.fails = 0
        self.looks = 0
        self.meanwhile: Callable[[], object] = lambda: None  # what happens while classes are read
        self._runs: list[Run] = []

    @way(arrival_records.arrivals)
    async def arrivals(self, plain: Any, since: str) -> tuple[list[Arrival], str]:
        self.looks += 1
        if self.fails:
            self.fails -= 1
            raise StoreBroken("the connection is gone")
        new, self.new = self.new, []
        self._runs = [run for _, runs in new for run in runs]
        return [arrival for arrival, _ in new], str(int(since) + 1)

    @way(arrival_records.arrived_runs)
    async def arrived_runs(self, plain: Any, ranges: Sequence[tuple[int, int]]) -> list[Run]:
        return self._runs

    @way(submission_records.classes_given)
    async def classes_given(self, plain: Any, class_ids: Sequence[int]) -> Any:
        self.meanwhile()
        return await plain(class_ids)


class Scene:
    """A queue beside such a store."""

    def __init__(self) -> None:
        self.store, clock = Database(), LoopClock()
        owners, pilots, leases = Owners(self.store, "local"), Pilots(), LeaseTable()
        outbound = None
        self.memory = Memory(
            queue=JobQueue(Matcher(Rules()), pilots, outbound, clock, term=1),  # type: ignore[arg-type]
            leases=leases,
            pilots=pilots,
            owners=owners,
            classes=JobClasses(self.store, owners, an_owner_max=100),
            counters=Counters(),
            tally=Tally(),
            feed=Feed(clock, self.store, owners),
            logs=LiveLogs(leases, outbound),  # type: ignore[arg-type]
        )
        self.said: list[str] = []
        self.others = ArrivalPoller(
            store=self.store,
            memory=self.memory,
            follow_up=FollowUp(
                store=self.store,
                memory=self.memory,
                bus=FakeBus(FakeBroker()),
                tokens=cast(PilotTokens, None),  # no pilot ends here
                clock=clock,
                log=self._log,
            ),
            clock=clock,
            log=self._log,
        )

    def _log(self, event: str, **_: object) -> None:
        self.said.append(event)

    async def stored_class(self, type: str = "User") -> int:
        """Let another process store a class, with an owner that is not known here."""
        owner = await self.store.write(identity_records.owner, ADA)
        kind = JobClassRow(community="ctao", group="sim", owner_id=owner.owner_id, type=type,
                        needs=b"[{}]")  # fmt: skip
        return (await self.store.write(submission_records.classes, [kind]))[0]

    def forget(self, class_id: int) -> None:
        """Forget a class, as `IdleClasses` does."""
        self.memory.classes.forget(self.memory.queue.classes[class_id])
        self.memory.queue.forget_class(class_id)

    def waiting(self) -> int:
        return self.memory.counters.total(JobState.WAITING)


def a_run(class_id: int, first: int, count: int, *, waits: bool = True, epoch: int = 0) -> Run:
    return Run(
        class_id=class_id, priority=0, epoch=epoch, queue_until=None, waits=waits, first=first,
        count=count,
    )  # fmt: skip


async def test_what_others_took_in_is_queued_and_counted_with_its_class_and_owner() -> None:
    scene = Scene()
    class_id = await scene.stored_class()
    scene.store.new = [(Arrival(1, ((1, 3),), 0.25), [a_run(class_id, 1, 3)])]
    scene.others.begin("0")
    await scene.others.look()

    assert [job in scene.memory.queue.matcher for job in (1, 2, 3, 4)] == [True] * 3 + [False]
    assert scene.waiting() == 3
    assert scene.memory.queue.classes[class_id].kind.owner == "ada"
    assert (scene.others.taken, scene.others.lag_s) == (1, 0.25)


async def test_jobs_that_are_here_or_wait_no_more_are_counted_and_not_queued_again() -> None:
    scene = Scene()
    class_id = await scene.stored_class()
    scene.store.new = [(Arrival(1, ((1, 1),), 0.0), [a_run(class_id, 1, 1)])]
    scene.others.begin("0")
    await scene.others.look()
    runs = [
        a_run(class_id, 1, 2),
        a_run(class_id, 3, 1, waits=False),
        a_run(class_id, 4, 1, epoch=2),
    ]
    scene.store.new = [(Arrival(2, ((1, 4),), 0.0), runs)]
    await scene.others.look()

    assert [job in scene.memory.queue.matcher for job in (1, 2, 3, 4)] == [True, True, False, True]
    assert len(scene.memory.queue.matcher) == 3
    assert scene.memory.queue.epoch(4) == 2


async def test_a_class_that_is_forgotten_while_others_are_read_is_known_again() -> None:
    scene = Scene()
    idle = await scene.stored_class()
    await learn_classes(scene.memory, {idle})
    new = await scene.stored_class("Transfer")
    scene.store.meanwhile = lambda: scene.forget(idle)
    scene.store.new = [(Arrival(1, ((1, 2),), 0.0), [a_run(idle, 1, 1), a_run(new, 2, 1)])]
    scene.others.begin("0")
    await scene.others.look()

    assert [job in scene.memory.queue.matcher for job in (1, 2)] == [True, True]
    assert {idle, new} <= scene.memory.queue.classes.keys()


async def test_a_class_that_is_asked_for_is_not_forgotten_while_another_one_is_read() -> None:
    scene, clock = Scene(), FakeClock()
    idle = IdleClasses(scene.memory, clock)
    known, new = await scene.stored_class(), await scene.stored_class("Transfer")
    await idle.load([known])
    clock.move(KEEP_S)
    scene.store.meanwhile = idle.sweep
    await idle.load([known, new])

    assert {known, new} <= scene.memory.queue.classes.keys()


async def test_a_look_that_fails_is_said_once_and_tried_again() -> None:
    scene = Scene()
    class_id = await scene.stored_class()
    scene.store.fails = 2
    scene.store.new = [(Arrival(1, ((1, 1),), 0.0), [a_run(class_id, 1, 1)])]
    scene.others.begin("0")
    with suppress(TimeoutError):
        async with asyncio.timeout(4.0):
            await scene.others.run()

    assert scene.said == ["others_unseen"]
    assert scene.others.taken == 1 and scene.store.looks >= 3


async def test_where_nobody_else_writes_nobody_looks() -> None:
    scene = Scene()
    scene.others.begin("")
    await scene.others.run()

    assert scene.store.looks == 0
    assert scene.others.unseen_s() == 0


async def test_a_priority_that_is_set_while_jobs_are_taken_up_holds_and_is_then_forgotten() -> None:
    scene = Scene()
    queue, class_id = scene.memory.queue, await scene.stored_class()
    runs = [a_run(class_id, 1, 3), a_run(class_id, 4, 1, epoch=2)]
    scene.store.new = [(Arrival(1, ((1, 4),), 0.0), runs)]

    def meanwhile() -> None:
        for job in (2, 4, 9):
            queue.set_priority(job, 7)

    scene.store.meanwhile = meanwhile
    scene.others.begin("0")
    await scene.others.look()
    queue.add(class_id, 0, [9])

    assert [queue.matcher.backlog.priority(job) for job in (1, 2, 3, 4, 9)] == [0, 7, 0, 7, 0]
