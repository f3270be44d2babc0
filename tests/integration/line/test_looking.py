"""Looking at jobs while they run and afterwards: the shipped central and a pilot on fakes."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

import pytest

from pilotage.central.errors import Refused
from pilotage.central.jobs import record as job_records
from pilotage.central.jobs.output.curve_view import JobInspector
from pilotage.proto.api.jobs import CurvePoint
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import KEPT_BYTES, Assignment, Stream
from tests import virtual
from tests.fake_pilot import FakePilot, Script
from tests.fakes import FakeInstallation

from .test_on_fakes import submission, submit, until_all_end

CURVE = "0.1 0.05 12.5 0.0 1\n1.0 0.9 120.4 3.25 4\n"
POINTS = [
    CurvePoint(at_s=0.1, cpu_s=0.05, memory_mb=12.5, scratch_mb=0.0, processes=1),
    CurvePoint(at_s=1.0, cpu_s=0.9, memory_mb=120.4, scratch_mb=3.25, processes=4),
]


class Story:
    """A central and one pilot whose payloads write and are measured."""

    def __init__(self, world: FakeInstallation, pilot: FakePilot, life: asyncio.Task[int]) -> None:
        self.world, self.pilot, self.life = world, pilot, life

    async def runs(self, **job: object) -> int:
        """Submit a job and wait until it runs and has a curve."""
        (number,) = await submit(self.world, submission(1, **job))
        await asyncio.sleep(5.0)
        assert (await self.looking.curve(self.world.user(), number, None)).epoch <= 1
        self.measured(CURVE)
        return number

    def measured(self, curve: str) -> None:
        (folder,) = {path.parent for path in self.pilot.workspace.files if path.name == "stdout"}
        self.pilot.workspace.write(folder / "usage", curve.encode())

    @property
    def looking(self) -> JobInspector:
        return self.world.central.services.looking


def parsed(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()


def story(tell: Callable[[Story], Awaitable[None]], script: Script) -> None:
    def scripted(_: Assignment) -> Script:
        return script

    async def whole() -> None:
        world = FakeInstallation()
        await world.start()
        pilot = await world.pilot("PIC", script=scripted)
        life = asyncio.get_running_loop().create_task(pilot.agent().run())
        await tell(Story(world, pilot, life))
        life.cancel()
        await asyncio.wait([life])
        await world.kill()

    virtual.run(whole(), limit_s=20_000.0)


WRITES = Script(duration_s=500.0, stdout="zwölf Boxkämpfer\n".encode() * 1_000, stderr=b"oh\n")


def test_a_job_that_runs_is_looked_at_as_it_is_now_and_afterwards_as_it_was() -> None:
    async def tell(one: Story) -> None:
        job, user = await one.runs(), one.world.user()
        began = asyncio.get_running_loop().time()
        now = await one.looking.peek(user, job, bytes_max=30, wait_s=15.0)
        took_s = asyncio.get_running_loop().time() - began
        live = await one.looking.curve(user, job, None)
        one.measured(CURVE + "9.9 1.0 1.0 1.0 1\n")
        grown = await one.looking.curve(user, job, 1)
        assert await until_all_end(one.world) == {JobState.DONE: 1}
        late = await one.looking.peek(user, job, bytes_max=7, wait_s=15.0)
        kept = await one.looking.curve(user, job, None)

        assert took_s < 2.0
        assert (now.live, now.complete, now.epoch) == (True, True, 1)
        assert (now.stdout, now.stderr) == ("oxkämpfer\nzwölf Boxkämpfer\n", "oh\n")
        assert (now.stdout_bytes, now.stderr_bytes) == (19_000, 3)
        assert now.usage == POINTS[-1]
        assert (live.live, live.epoch, live.points) == (True, 1, POINTS)
        assert (live.cores, live.memory_mb, live.wall_s) == (1, 0, 3_600.0)
        assert len(grown.points) == 3
        assert (late.live, late.epoch, late.stdout) == (False, 1, "mpfer\n")
        assert (kept.live, len(kept.points), kept.epoch) == (False, 3, 1)

    story(tell, WRITES)


def test_what_was_never_there_is_said_to_be_nothing() -> None:
    async def tell(one: Story) -> None:
        (job,) = await submit(one.world, submission(1))
        user = one.world.user()
        assert await until_all_end(one.world) == {JobState.FAILED: 1}

        assert (await one.looking.curve(user, job, None)).points == []
        assert (await one.looking.curve(user, job, 1)).epoch == 1
        assert (await one.looking.peek(user, job, bytes_max=9, wait_s=1.0)).stdout == ""
        for what in (one.looking.curve(user, job, 2), one.looking.curve(user, 99, None)):
            with pytest.raises(Refused):
                await what

    story(tell, Script(does_not_start="no such program"))


def test_each_attempt_has_its_own_curve() -> None:
    async def tell(one: Story) -> None:
        job, user = await one.runs(retries=1), one.world.user()
        await asyncio.sleep(100.0)
        first = await one.looking.curve(user, job, 1)
        newest = await one.looking.curve(user, job, None)
        second = await one.looking.curve(user, job, 2)

        assert (first.points, first.live) == (POINTS, False)
        assert newest == first, "the second has none yet"
        assert (second.live, second.points) == (True, [])

    story(tell, Script(duration_s=100.0, exit_code=1, stdout=b"x"))


def test_two_look_at_once_and_one_after_the_other() -> None:
    async def tell(one: Story) -> None:
        job, user = await one.runs(), one.world.user()

        async def look() -> str:
            found = await one.looking.peek(user, job, bytes_max=65_536, wait_s=15.0)
            assert found.complete
            return found.stdout

        async with asyncio.TaskGroup() as both:
            looks = [both.create_task(look()) for _ in range(2)]
        again = await look()

        assert {task.result() for task in looks} | {again} == {WRITES.stdout.decode()}

    story(tell, WRITES)


def test_a_curve_that_no_honest_pilot_writes_is_no_curve() -> None:
    async def tell(one: Story) -> None:
        job, user = await one.runs(), one.world.user()
        many = "".join(f"{at}.0 1.0 1.0 1.0 1\n" for at in range(40_000))
        one.measured("what?\n" + many)
        assert await until_all_end(one.world) == {JobState.DONE: 1}
        (attempt,) = await one.world.store.read(job_records.attempts, job)
        (kept,) = [out for out in attempt.outputs if out.name.endswith(Stream.USAGE.value)]
        found = await one.looking.curve(user, job, None)
        one.world.blobs.blobs[kept.sha256] = b"x" * 2_000_000
        large = await one.looking.curve(user, job, None)

        assert 1_000 < len(found.points) <= 2_000
        assert large.points == []

    story(tell, Script(duration_s=100.0, stdout=b"x"))


def test_of_a_long_stream_the_true_size_is_known_and_how_much_is_left_out() -> None:
    async def tell(one: Story) -> None:
        job, user = await one.runs(), one.world.user()
        assert await until_all_end(one.world) == {JobState.DONE: 1}
        services = one.world.central.services
        found = await services.queries.log(user, job, Stream.OUT)
        (attempt,) = (await services.queries.job(user, job)).attempts
        late = await one.looking.peek(user, job, bytes_max=7, wait_s=15.0)
        text = b"".join([part async for part in found.parts])

        assert text == b"y" * (KEPT_BYTES - 1) + b"\n"
        assert (found.epoch, found.newest, found.left_out) == (1, 1, 234_567)
        assert (attempt.stdout_bytes, attempt.stderr_bytes) == (KEPT_BYTES + 234_567, 3)
        assert (late.stdout_bytes, late.stderr_bytes) == (KEPT_BYTES + 234_567, 3)

    long = b"x" * 234_567 + b"y" * (KEPT_BYTES - 1) + b"\n"
    story(tell, Script(duration_s=50.0, stdout=long, stderr=b"oh\n"))


def test_the_output_of_an_earlier_attempt_says_whose_it_is() -> None:
    async def tell(one: Story) -> None:
        job, user = await one.runs(retries=1), one.world.user()
        await asyncio.sleep(100.0)
        kept = await one.world.central.services.queries.log(user, job, Stream.OUT)
        live = await one.world.central.services.logs.follow(user, job, Stream.OUT)

        assert (kept.epoch, kept.newest, kept.left_out) == (1, 2, 0)
        assert (live.epoch, live.newest) == (2, 2)

    story(tell, Script(duration_s=100.0, exit_code=1, stdout=b"x"))


def test_a_look_at_a_job_whose_pilot_is_dead_says_from_when_it_is() -> None:
    async def tell(one: Story) -> None:
        job, user = await one.runs(), one.world.user()
        alive = await one.looking.peek(user, job, bytes_max=9, wait_s=15.0)
        one.life.cancel()
        await asyncio.wait([one.life])
        died = one.world.clock.wall()
        await asyncio.sleep(70.0)
        now = await one.looking.peek(user, job, bytes_max=9, wait_s=15.0)

        assert alive.complete and parsed(alive.at) == pytest.approx(died, abs=2.0)
        assert (now.live, now.complete) == (True, False)
        assert died - 45.0 <= parsed(now.at) <= died

    story(tell, WRITES)
