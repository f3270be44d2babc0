"""The shipped central and two pilots on fakes alone: no socket, thread, file or process."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable

import msgspec

from pilotage.pilot.gpus import Gpus
from pilotage.proto.api.jobs import Action, ActionName, JobFilter, Submission
from pilotage.proto.api.quotas import QuotaChange
from pilotage.proto.documents.job import Job, Need, OutputPattern
from pilotage.proto.job_states import FINAL, JobState
from pilotage.proto.messages import Assignment
from tests import virtual
from tests.fake_pilot import FakePilot, FakeProbe, Script
from tests.fakes import FakeInstallation


def submission(count: int, **job: object) -> Submission:
    """Return `count` equal jobs."""
    body = msgspec.json.encode(
        msgspec.structs.replace(Job(command=("run",), needs=(Need(wall_s=3_600),)), **job)
    )
    return Submission(key=uuid.uuid4().hex, jobs=[msgspec.Raw(body)] * count)


async def states(world: FakeInstallation) -> dict[JobState, int]:
    page = await world.central.services.queries.search(world.user(), JobFilter(), 0, 1_000)
    found: dict[JobState, int] = {}
    for job in page.jobs:
        found[job.state] = found.get(job.state, 0) + 1
    return found


async def until_all_end(world: FakeInstallation) -> dict[JobState, int]:
    while True:
        found = await states(world)
        if set(found) <= FINAL:
            return found
        await asyncio.sleep(5.0)


def story(
    tell: Callable[[FakeInstallation], Awaitable[None]],
    *,
    script: Callable[[Assignment], Script],
    limit_s: float = 20_000.0,
    node: FakeProbe | None = None,
) -> None:
    """Run a central and two pilots while `tell` says what happens; with a `node`, one pilot."""

    async def whole() -> None:
        world = FakeInstallation()
        await world.start()
        lives: list[asyncio.Task[int]] = []
        for site in ("PIC", "CSCS") if node is None else ("PIC",):
            pilot = await world.pilot(site, script=script, probe=node)
            lives.append(asyncio.get_running_loop().create_task(pilot.agent().run()))
        telling = asyncio.get_running_loop().create_task(_as_coroutine(tell(world)))
        await asyncio.wait([telling, *lives], return_when=asyncio.FIRST_COMPLETED)
        assert telling.done(), f"a pilot ended: {[life for life in lives if life.done()]}"
        telling.result()
        for life in lives:
            life.cancel()
        await asyncio.wait(lives)
        await world.kill()

    virtual.run(whole(), limit_s=limit_s)


async def _as_coroutine(what: Awaitable[None]) -> None:
    await what


def lasts(seconds: float) -> Callable[[Assignment], Script]:
    return lambda _: Script(duration_s=seconds)


async def submit(world: FakeInstallation, body: Submission) -> list[int]:
    made = await world.central.services.submissions.submit(world.user(), body, body_hash=body.key)
    return [job for one in made.ids for job in range(one.first, one.first + one.count)]


def started(world: FakeInstallation) -> list[tuple[int, int]]:
    """Return every attempt whose payload was ever started, by any pilot."""
    return [
        (int(str(facts["job"])), int(str(facts["epoch"])))
        for pilot in world.pilots
        for event, facts in pilot.log
        if event == "payload_started"
    ]


def test_twenty_jobs_run_once_each() -> None:
    async def tell(world: FakeInstallation) -> None:
        await submit(world, submission(20))

        assert await until_all_end(world) == {JobState.DONE: 20}

    story(tell, script=lasts(30.0))


def test_two_jobs_that_need_most_of_the_disk_run_one_after_the_other() -> None:
    async def tell(world: FakeInstallation) -> None:
        jobs = await submit(world, submission(2, needs=(Need(wall_s=3_600, scratch_mb=80_000),)))
        await asyncio.sleep(100.0)
        explained = await world.central.services.explainer.job(world.user(), jobs[1])

        assert await states(world) == {JobState.RUNNING: 1, JobState.WAITING: 1}
        assert (explained.offers, explained.fitting) == (1, 1), "the disk is taken, not too small"
        assert (explained.with_room, explained.next_on) == (0, 0)
        assert explained.notes[0].startswith(
            "the 1 fitting offer has too little free now: scratch "
        )
        assert await until_all_end(world) == {JobState.DONE: 2}
        assert not [facts for event, facts in world.pilots[0].log if event == "declined"]

    story(tell, script=lasts(200.0), node=FakeProbe(cores_all=2, scratch_mb=100_000))


GPU_NODE = FakeProbe(
    cores_all=8,
    node_gpus=Gpus(count=2, vendor="nvidia", memory_mb=16_000, compute_capability="8.0"),
)


def test_no_gpu_is_given_twice_not_even_after_a_restart_of_the_central() -> None:
    async def tell(world: FakeInstallation) -> None:
        need = Need(wall_s=3_600, gpus_min=1, gpu_vendor="nvidia", gpu_compute_capability_min="7.5")
        await submit(world, submission(6, needs=(need,)))
        newer = msgspec.structs.replace(need, gpu_compute_capability_min="8.6")
        (waiting,) = await submit(world, submission(1, needs=(newer,)))
        await asyncio.sleep(100.0)
        explainer = world.central.services.explainer
        explained = await explainer.job(world.user(), waiting)
        (pilot,) = [one.pilot for one in world.central.memory.pilots.all()]
        of_pilot = await explainer.pilot(world.user(), pilot)

        assert await states(world) == {JobState.RUNNING: 2, JobState.WAITING: 5}
        assert [one.clause for one in explained.obstacles] == ["gpu_compute_capability"]
        assert of_pilot.notes[0].startswith("free now: cores 6 of 8, ")
        assert of_pilot.notes[0].endswith("GPUs 0 of 2; the rest is taken by 2 jobs")
        assert (of_pilot.waiting, of_pilot.fitting) == (5, 0)
        assert {one.clause for one in of_pilot.obstacles} >= {"gpus", "gpu_compute_capability"}

        await world.kill()
        await world.start()
        await submit(world, submission(1))
        await asyncio.sleep(100.0)

        assert (await states(world))[JobState.RUNNING] == 2 + 1, "the third wants no GPU"

        kill = Action(action=ActionName.KILL, ids=(waiting,))
        await world.central.services.control.act(world.user(), kill)

        assert await until_all_end(world) == {JobState.DONE: 7, JobState.KILLED: 1}
        assert not [facts for event, facts in world.pilots[0].log if event == "declined"]

    story(tell, script=lasts(1_000.0), node=GPU_NODE)


def test_a_job_that_takes_the_whole_node_runs_alone() -> None:
    async def tell(world: FakeInstallation) -> None:
        await submit(world, submission(3))
        await asyncio.sleep(100.0)
        await submit(world, submission(1, needs=(Need(wall_s=3_600, whole_node=True),)))
        await asyncio.sleep(100.0)

        assert await states(world) == {JobState.RUNNING: 3, JobState.WAITING: 1}

        await asyncio.sleep(300.0)
        await submit(world, submission(1))
        await asyncio.sleep(100.0)

        assert await states(world) == {JobState.DONE: 3, JobState.RUNNING: 1, JobState.WAITING: 1}
        assert await until_all_end(world) == {JobState.DONE: 5}

    story(tell, script=lasts(400.0), node=GPU_NODE)


def test_a_full_pilot_is_explained_as_what_is_free_of_it_and_as_it_would_be_empty() -> None:
    async def tell(world: FakeInstallation) -> None:
        (whole,) = await submit(world, submission(1, needs=(Need(whole_node=True),)))
        await asyncio.sleep(100.0)
        small = await submit(world, submission(53))
        await asyncio.sleep(100.0)
        explainer, user = world.central.services.explainer, world.user()
        (pilot,) = [one.pilot for one in world.central.memory.pilots.all()]
        of_pilot = await explainer.pilot(user, pilot)
        first = await explainer.job(user, small[0])
        last = await explainer.job(user, small[-1])
        new = await explainer.unsubmitted(user, Job(command=("run",)))
        running = await explainer.job(user, whole)

        assert (of_pilot.waiting, of_pilot.fitting, of_pilot.when_empty) == (53, 0, 53)
        assert of_pilot.notes == ["it is full: 8 of 8 cores taken by 1 job"]
        assert (first.fitting, first.with_room, first.next_on) == (1, 0, 0)
        assert first.notes == [
            "the 1 fitting offer has too little free now: cores 0 of 8; "
            "the job waits until jobs there end",
            "it is next when there is room",
        ]
        assert (last.ahead, last.notes) == (52, first.notes[:1])
        assert (new.ahead, new.notes) == (53, first.notes[:1])
        assert running.notes == [f"the job does not wait: it is Running at PIC on pilot {pilot}"]
        assert (running.offers, running.obstacles) == (0, [])

        assert await until_all_end(world) == {JobState.DONE: 54}
        done = await explainer.job(user, whole)

        assert done.notes == [f"the job does not wait: it is Done; it was at PIC on pilot {pilot}"]

    story(tell, script=lasts(300.0), node=GPU_NODE)


def test_a_central_that_is_killed_and_comes_back_loses_nothing() -> None:
    async def tell(world: FakeInstallation) -> None:
        jobs = await submit(world, submission(20))
        await asyncio.sleep(100.0)
        await world.kill()
        await asyncio.sleep(600.0)
        await world.start()

        assert await until_all_end(world) == {JobState.DONE: 20}
        for job in jobs:
            detail = await world.central.services.queries.job(world.user(), job)
            assert detail.view.epoch == 1, f"job {job} was begun again"

    story(tell, script=lasts(300.0))


def test_a_pilot_that_is_cut_off_loses_its_jobs_to_the_other_and_none_runs_twice() -> None:
    async def tell(world: FakeInstallation) -> None:
        await submit(world, submission(8))
        await asyncio.sleep(60.0)
        first: FakePilot = world.pilots[0]
        first.http.cut = True
        world.broker.cut()
        await asyncio.sleep(1_000.0)
        first.http.cut = False
        world.broker.heal()

        assert await until_all_end(world) == {JobState.DONE: 8}

    story(tell, script=lasts(400.0))


def test_a_lost_reply_to_an_ask_gives_the_same_assignment_again() -> None:
    async def tell(world: FakeInstallation) -> None:
        await asyncio.sleep(5.0)
        for pilot in world.pilots:
            pilot.http.lose_replies = 1
        (job,) = await submit(world, submission(1))

        assert await until_all_end(world) == {JobState.DONE: 1}
        detail = await world.central.services.queries.job(world.user(), job)
        assert detail.view.epoch == 1

    story(tell, script=lasts(30.0))


def test_a_kill_reaches_a_running_payload_and_no_result_counts() -> None:
    async def tell(world: FakeInstallation) -> None:
        (job,) = await submit(world, submission(1))
        await asyncio.sleep(50.0)
        reply = await world.central.services.control.act(
            world.user(), Action(action=ActionName.KILL, ids=(job,))
        )
        asked = asyncio.get_running_loop().time()

        assert reply.done == 1
        assert await until_all_end(world) == {JobState.KILLED: 1}
        assert asyncio.get_running_loop().time() - asked < 80.0
        page = await world.central.services.metrics.page({})
        assert 'pilotage_events_total{event="carried_out"} 1' in page
        assert 'pilotage_events_total{event="requeued"} 0' in page, "a kill is no loss"

    story(tell, script=lasts(10_000.0))


def test_the_same_seed_gives_the_same_run() -> None:
    def trace() -> list[str]:
        lines: list[str] = []

        async def tell(world: FakeInstallation) -> None:
            await submit(world, submission(10))
            await until_all_end(world)
            for pilot in world.pilots:
                lines.extend(f"{event} {sorted(facts.items())}" for event, facts in pilot.log)

        story(tell, script=lasts(30.0))
        return lines

    first = trace()

    assert first and first == trace()


def test_an_attempt_whose_outputs_exceed_the_quota_ends_so_and_its_report_counts() -> None:
    async def tell(world: FakeInstallation) -> None:
        quotas = world.central.services.quotas
        change = QuotaChange(kind="community", community="ctao", bytes=150)
        await quotas.change(world.user(), change)
        (job,) = await submit(world, submission(1, outputs=(OutputPattern(pattern="*"),)))
        await until_all_end(world)
        detail = await world.central.services.queries.job(world.user(), job)
        kept = await world.central.services.queries.outputs(world.user(), job)
        (row,) = [one for one in (await quotas.usage(world.user())).rows if one.kind == "community"]

        assert detail.view.state is JobState.FAILED
        assert detail.view.reason.startswith("quota: b was not stored: 403 over_quota community")
        assert detail.attempts[0].failure == "limit.quota"
        assert [one.name for one in kept.outputs] == []
        assert row.jobs == 0
        assert row.bytes <= 150

    files = {"a": b"a" * 100, "b": b"b" * 100}
    story(tell, script=lambda _: Script(duration_s=5.0, stdout=b"said", files=files))
