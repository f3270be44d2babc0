"""A folder travels from attempt to attempt: the shipped central and pilots on fakes alone."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from pilotage.central.jobs import record as job_records
from pilotage.pilot.agent import Agent
from pilotage.pilot.ports import TooLarge
from pilotage.proto.api.jobs import Action, ActionName, JobDetail
from pilotage.proto.documents.job import OutputPattern
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import CHECKPOINT_FILE, Assignment
from tests import virtual
from tests.fake_pilot import Script
from tests.fakes import FakeInstallation

from .test_on_fakes import states, submission, submit, until_all_end

COUNT = "state/count"


class Story:
    """A central, pilots that come when they are called, and payloads that count their attempts."""

    def __init__(self, world: FakeInstallation, *, goal: int, lasts_s: float) -> None:
        self.world, self._goal, self._lasts_s = world, goal, lasts_s
        self.agents: list[Agent] = []
        self.lives: list[asyncio.Task[int]] = []
        self.counts: list[tuple[int, int]] = []  # epoch, what the payload then counted to

    async def pilot(self) -> None:
        """One more begins."""
        number = len(self.lives)
        pilot = await self.world.pilot("PIC", script=lambda one: self._script(number, one))
        self.agents.append(pilot.agent())
        self.lives.append(asyncio.get_running_loop().create_task(self.agents[-1].run()))

    def _script(self, number: int, assignment: Assignment) -> Script:
        work = Path("/attempts") / str(assignment.attempt_id) / "work"
        found = self.world.pilots[number].workspace.files.get(work / COUNT, b"0")
        count = int(found) + 1
        self.counts.append((assignment.epoch, count))
        return Script(
            duration_s=self._lasts_s,
            exit_code=0 if count >= self._goal else 7,
            files={COUNT: str(count).encode(), "result": f"{count} steps".encode()},
        )

    async def submit(self, *, retries: int = 0) -> int:
        (job,) = await submit(
            self.world,
            submission(
                1,
                checkpoint="state",
                retries=retries,
                outputs=(OutputPattern(pattern="result"),),
            ),
        )
        return job

    async def act(self, action: ActionName, job: int) -> None:
        act = Action(action=action, ids=(job,))
        await self.world.central.services.control.act(self.world.user(), act)

    async def detail(self, job: int) -> JobDetail:
        return await self.world.central.services.queries.job(self.world.user(), job)

    async def checkpoints(self, job: int) -> list[int]:
        """Return the epochs of the attempts that left one."""
        return [
            one.epoch
            for one in await self.world.store.read(job_records.attempts, job)
            if any(out.name == CHECKPOINT_FILE for out in one.outputs)
        ]

    async def until(self, state: JobState, *, epoch: int, job: int) -> None:
        while True:
            view = (await self.detail(job)).view
            if (view.state, view.epoch) == (state, epoch):
                return
            await asyncio.sleep(1.0)


def story(
    tell: Callable[[Story], Awaitable[None]], *, goal: int = 3, lasts_s: float = 100.0
) -> None:
    async def whole() -> None:
        world = FakeInstallation()
        await world.start()
        one = Story(world, goal=goal, lasts_s=lasts_s)
        try:
            await one.pilot()
            await tell(one)
        finally:
            for life in one.lives:
                life.cancel()
            await asyncio.wait(one.lives)
            await world.kill()

    virtual.run(whole(), limit_s=20_000.0)


def test_a_payload_that_fails_twice_goes_on_where_it_was() -> None:
    async def tell(one: Story) -> None:
        job = await one.submit(retries=2)

        assert await until_all_end(one.world) == {JobState.DONE: 1}
        assert one.counts == [(1, 1), (2, 2), (3, 3)]
        assert await one.checkpoints(job) == [1, 2], "what succeeded has nothing to hand on"
        outputs = await one.world.central.services.queries.outputs(one.world.user(), job)
        assert [out.name for out in outputs.outputs] == ["result"], "a checkpoint is no output"

    story(tell)


def test_a_job_without_retries_begins_anew_when_it_is_rescheduled() -> None:
    async def tell(one: Story) -> None:
        job = await one.submit()
        assert await until_all_end(one.world) == {JobState.FAILED: 1}
        await one.act(ActionName.RESCHEDULE, job)
        assert await until_all_end(one.world) == {JobState.FAILED: 1}

        assert one.counts == [(1, 1), (2, 1)]

    story(tell)


def test_a_pilot_that_has_to_go_hands_the_checkpoint_on() -> None:
    async def tell(one: Story) -> None:
        job = await one.submit()
        await one.until(JobState.RUNNING, epoch=1, job=job)
        await one.pilot()
        one.agents[0].drain("the batch system says so")
        one.agents[0].drain("and now")

        assert await until_all_end(one.world) == {JobState.DONE: 1}
        assert one.counts == [(1, 1), (2, 2)]
        first, _ = await one.world.store.read(job_records.attempts, job)
        assert first.how is not None and first.usage is not None
        assert (first.how.value, first.usage.bytes_out > 0) == ("drained", True)

    story(tell, goal=2, lasts_s=500.0)


def test_after_a_lost_attempt_the_newest_that_is_known_is_used() -> None:
    async def tell(one: Story) -> None:
        job = await one.submit(retries=1)
        await one.until(JobState.RUNNING, epoch=2, job=job)
        one.lives[0].cancel()
        await one.pilot()

        assert await until_all_end(one.world) == {JobState.DONE: 1}
        assert one.counts == [(1, 1), (2, 2), (3, 2)]
        assert await one.checkpoints(job) == [1]

    story(tell, goal=2)


def test_what_comes_too_late_replaces_nothing() -> None:
    async def tell(one: Story) -> None:
        job = await one.submit(retries=3)
        await one.until(JobState.RUNNING, epoch=1, job=job)
        first = one.world.pilots[0]
        first.http.cut = True
        one.world.broker.cut()
        await one.pilot()
        await one.until(JobState.RUNNING, epoch=2, job=job)
        first.http.cut = False
        one.world.broker.heal()

        assert await until_all_end(one.world) == {JobState.DONE: 1}
        assert one.counts == [(1, 1), (2, 1), (3, 2), (4, 3)]
        assert await one.checkpoints(job) == [2, 3]

    story(tell)


def test_a_pilot_that_comes_back_before_a_new_match_hands_the_checkpoint_on() -> None:
    async def tell(one: Story) -> None:
        job = await one.submit()
        await one.until(JobState.RUNNING, epoch=1, job=job)
        first = one.world.pilots[0]
        first.http.cut = True
        one.world.broker.cut()
        one.agents[0].drain("out of time")
        one.agents[0].drain("and now")
        await one.until(JobState.WAITING, epoch=1, job=job)
        first.http.cut = False
        await asyncio.sleep(60.0)
        one.world.broker.heal()
        (left,) = await one.world.store.read(job_records.attempts, job)
        await one.pilot()

        assert left.how is not None and left.how.value == "drained"
        assert await until_all_end(one.world) == {JobState.DONE: 1}
        assert one.counts == [(1, 1), (2, 2)]

    story(tell, goal=2, lasts_s=2_000.0)


def test_a_held_job_goes_on_and_a_killed_one_hands_nothing_on() -> None:
    async def tell(one: Story) -> None:
        job = await one.submit()
        await one.until(JobState.RUNNING, epoch=1, job=job)
        await one.act(ActionName.HOLD, job)
        await one.until(JobState.HELD, epoch=1, job=job)
        await one.act(ActionName.RELEASE, job)
        await one.until(JobState.RUNNING, epoch=2, job=job)
        await one.act(ActionName.RESCHEDULE, job)
        await one.until(JobState.RUNNING, epoch=3, job=job)
        await one.act(ActionName.KILL, job)
        await one.until(JobState.KILLED, epoch=3, job=job)

        assert one.counts == [(1, 1), (2, 2), (3, 3)]
        assert await one.checkpoints(job) == [1, 2]
        assert await states(one.world) == {JobState.KILLED: 1}

    story(tell, goal=99, lasts_s=5_000.0)


def test_a_checkpoint_whose_file_is_gone_is_passed_over() -> None:
    async def tell(one: Story) -> None:
        job = await one.submit(retries=2)
        await one.until(JobState.RUNNING, epoch=3, job=job)
        await one.act(ActionName.HOLD, job)
        await one.until(JobState.HELD, epoch=3, job=job)
        newest = (await one.world.store.read(job_records.attempts, job))[-1]
        (gone,) = [out.sha256 for out in newest.outputs if out.name == CHECKPOINT_FILE]
        del one.world.blobs.blobs[gone]
        await one.act(ActionName.RELEASE, job)
        await one.until(JobState.RUNNING, epoch=4, job=job)
        await asyncio.sleep(1.0)

        assert one.counts == [(1, 1), (2, 2), (3, 3), (4, 3)]

    story(tell, goal=99, lasts_s=500.0)


def test_a_checkpoint_of_no_use_lets_the_payload_begin_anew() -> None:
    async def tell(one: Story) -> None:
        await one.submit(retries=1)
        await asyncio.sleep(50.0)
        pilot = one.world.pilots[0]
        pilot.workspace.breaks["restore"] = TooLarge("the archive has a header of 9 bytes")

        assert await until_all_end(one.world) == {JobState.FAILED: 1}
        assert one.counts == [(1, 1), (2, 1)]
        assert [facts["why"] for event, facts in pilot.log if event == "checkpoint_left_out"] == [
            "the archive has a header of 9 bytes"
        ]

    story(tell)


def test_a_checkpoint_that_cannot_be_kept_is_told_of() -> None:
    async def tell(one: Story) -> None:
        job = await one.submit()
        await asyncio.sleep(50.0)
        why = TooLarge("it has more than 1000 MB")
        one.world.pilots[0].workspace.breaks["pack"] = why
        assert await until_all_end(one.world) == {JobState.FAILED: 1}
        (attempt,) = await one.world.store.read(job_records.attempts, job)

        assert attempt.detail == "the checkpoint 'state' is not kept: it has more than 1000 MB"
        assert await one.checkpoints(job) == []

    story(tell)


def test_a_lost_reply_to_the_ask_gives_the_same_checkpoint_again() -> None:
    async def tell(one: Story) -> None:
        await one.submit(retries=2)
        await asyncio.sleep(50.0)
        one.world.pilots[0].http.lose_replies = 1
        await asyncio.sleep(100.0)
        one.world.pilots[0].http.lose_replies = 1

        assert await until_all_end(one.world) == {JobState.DONE: 1}
        assert [count for _, count in one.counts] == [1, 2, 3]

    story(tell)
