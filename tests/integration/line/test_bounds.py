"""What one submitter may ask for without harm to the others: sizes, kinds of jobs."""

import asyncio
import dataclasses
import json
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec
import pytest

from pilotage.central.catalogue.storages import Storages
from pilotage.central.dispatch.idle_classes import KEEP_S, SWEEP_S
from pilotage.central.dispatch.submissions.api_process import ApiSubmissions, left_to_the_leader
from pilotage.central.dispatch.submissions.submissions import (
    CHUNK_BYTES,
    NEW_A_TURN,
    Submissions,
    cut,
)
from pilotage.central.dispatch.turns.run_orders import BODIES_BYTES_MAX
from pilotage.central.errors import Refused
from pilotage.central.jobs import record_submissions as submission_records
from pilotage.central.jobs.definition.checks import NAMES_MAX
from pilotage.central.jobs.record_types import NewJob
from pilotage.central.settings import MatcherSettings
from pilotage.proto.api.jobs import Action, ActionName, Submission, Submitted
from pilotage.proto.documents.job import Input, Job, JobData, Need
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import Ask, Assignment
from pilotage.proto.problems import Code
from tests.integration.line.test_protocol import OFFER, Scene, ended, of, scene

MIB = 1 << 20
FORGOTTEN_S = KEEP_S + 3 * SWEEP_S
MANY = dataclasses.replace(OFFER, cores=64, cores_free=64)


async def parametric(one: Scene, template: Job, *entries: Mapping[str, str | int]) -> Submitted:
    rows = [msgspec.Raw(json.dumps(entry).encode()) for entry in entries]
    return await one.world.central.services.submissions.submit(
        one.world.user(),
        Submission(key=uuid.uuid4().hex, template=template, parameters=rows),
        body_hash="x",
    )


async def ask_many(one: Scene, *held: Assignment) -> tuple[Assignment, ...]:
    one.ask_n += 1
    holding = tuple(of(got) for got in held)
    free = dataclasses.replace(MANY, cores_free=64 - len(held))
    reply = await one.turn(ask=Ask(n=one.ask_n, offer=free, jobs_max=64, holding=holding))
    assert reply.ask is not None
    return reply.ask.assignments


async def act(one: Scene, action: ActionName, *jobs: int) -> None:
    await one.world.central.services.control.act(
        one.world.user(), Action(action=action, ids=tuple(jobs))
    )


# -- bytes --------------------------------------------------------------------------------------


def test_a_template_that_makes_gigabytes_of_little_is_refused_unfilled() -> None:
    async def tell(one: Scene) -> None:
        with pytest.raises(Refused) as refused:
            await parametric(one, Job(command=("{x}" * 1_200,)), {"x": 1}, {"x": "a" * 1_000_000})

        assert (refused.value.code, refused.value.field) == (Code.INVALID, "parameters[1].x")

    scene(tell)


def test_nul_in_parameters_and_jobs_is_refused_by_field() -> None:
    async def tell(one: Scene) -> None:
        with pytest.raises(Refused) as of_parameters:
            await parametric(one, Job(command=("run", "{x}")), {"x": 1}, {"x": "a\0b"})
        with pytest.raises(Refused) as of_a_job:
            await one.submit(name="a\0b")
        told = await parametric(one, Job(command=("run", "{x}")), {"x": "\\u0000"})

        assert of_parameters.value.field == "parameters[1].x"
        assert of_a_job.value.field == "jobs[0].name"
        assert told.count == 1  # six characters that are no NUL

    scene(tell)


@pytest.mark.parametrize("data", [None, JobData()])
def test_a_name_is_no_longer_because_parameters_make_it(data: JobData | None) -> None:
    async def tell(one: Scene) -> None:
        template = Job(command=("run",), name="{a}-{b}", data=data)
        told = await parametric(one, template, {"a": "x" * 126, "b": 1})
        with pytest.raises(Refused, match="the maximum is 128") as refused:
            await parametric(one, template, {"a": "x", "b": 2}, {"a": "x" * 9_000, "b": 1})

        assert told.count == 1
        assert refused.value.field == "parameters[1]"
        assert "a name of 9002 characters, 'xxx" in refused.value.message

    scene(tell)


@pytest.mark.parametrize("by_template", [False, True])
def test_large_jobs_are_handed_out_by_as_many_as_an_answer_carries(by_template: bool) -> None:
    async def tell(one: Scene) -> None:
        text = "a" * (MIB - 1_000)
        if by_template:
            await parametric(one, Job(command=("{x}",)), *[{"x": text}] * 40)
        else:
            words = [text[: len(text) // 8]] * 8  # none has more than a node can take
            await one.submit(40, command=("run", *words))
        (small,) = await one.submit()
        got: list[Assignment] = []
        rounds: list[int] = []
        while fresh := await ask_many(one, *got):
            size = sum(len(msgspec.json.encode(each.body)) for each in fresh)
            assert size <= BODIES_BYTES_MAX
            rounds.append(len(fresh))
            got += fresh

        assert rounds == [16, 16, 9]
        assert [each.epoch for each in got] == [1] * 41  # none was matched in vain
        assert got[-1].job == small

    scene(tell)


def test_many_small_jobs_are_handed_out_at_once() -> None:
    async def tell(one: Scene) -> None:
        await parametric(one, Job(command=("run", "{x}")), *[{"x": n} for n in range(64)])

        assert len(await ask_many(one)) == 64

    scene(tell)


def test_leases_are_rebuilt_without_filling_anything_in() -> None:
    async def tell(one: Scene) -> None:
        await parametric(one, Job(command=("{x}",), success_codes=(0, 3)), {"x": 1})
        got = await one.ask()
        await one.world.kill()
        await one.world.start()
        lease = one.world.central.memory.leases.of_job(got.job)

        assert lease is not None and lease.success_codes == (0, 3)

    scene(tell)


# -- classes ------------------------------------------------------------------------------------


async def limited(one: Scene, kinds_max: int) -> None:
    """Start the central again with another limit."""
    await one.world.kill()
    few = MatcherSettings(classes_an_owner_max=kinds_max)
    one.world.settings = msgspec.structs.replace(one.world.settings, matcher=few)
    await one.world.start()


async def kinds(one: Scene, first: int, count: int, *, at: Submissions | None = None) -> list[int]:
    jobs = [
        msgspec.Raw(msgspec.json.encode(Job(command=("run",), type=f"t{number}")))
        for number in range(first, first + count)
    ]
    made = await (at or one.world.central.services.submissions).submit(
        one.world.user(), Submission(key=uuid.uuid4().hex, jobs=jobs), body_hash="x"
    )
    return [job for ids in made.ids for job in range(ids.first, ids.first + ids.count)]


def test_an_owner_has_so_many_kinds_of_jobs_and_more_once_some_have_ended() -> None:
    async def tell(one: Scene) -> None:
        await limited(one, 20)
        with pytest.raises(Refused) as at_once:
            await kinds(one, 0, 21)  # leaves nothing behind
        jobs = await kinds(one, 100, 20)
        await kinds(one, 110, 5)  # of kinds that are there already
        with pytest.raises(Refused) as one_more:
            await kinds(one, 200, 1)
        await act(one, ActionName.KILL, *jobs[:10])
        await asyncio.sleep(FORGOTTEN_S)
        await kinds(one, 200, 10)

        assert at_once.value.code is Code.TOO_LARGE
        assert "group, type, needs and preference" in one_more.value.message

    scene(tell)


def test_one_that_takes_jobs_in_beside_counts_an_owners_kinds_anew_from_time_to_time() -> None:
    async def tell(one: Scene) -> None:
        await limited(one, 20)
        central, world = one.world.central, one.world
        beside = ApiSubmissions(
            store=world.store,
            memory=central.memory,
            clock=central.clock,
            log=lambda event, **fields: None,
            storages=Storages(),
            quotas=central.allowed.quotas,
            room=central.allowed.room,
            bans=central.services.tokens.bans,
            queued=left_to_the_leader,
        )
        await kinds(one, 0, 20, at=beside)
        with pytest.raises(Refused) as one_more:
            await kinds(one, 20, 1, at=beside)
        beside.forget_classes()
        await kinds(one, 20, 15, at=beside)
        jobs = await kinds(one, 0, 5, at=beside)  # read again

        assert one_more.value.code is Code.TOO_LARGE
        assert len(jobs) == 5

    scene(tell)


def test_a_class_is_forgotten_when_no_job_of_it_waits_or_runs_and_read_again_when_needed() -> None:
    async def tell(one: Scene) -> None:
        waiting, held, running = await kinds(one, 0, 3)
        await act(one, ActionName.HOLD, held)
        await act(one, ActionName.HOLD, waiting)
        got = await one.ask()
        await act(one, ActionName.RELEASE, waiting)
        queue = one.world.central.memory.queue
        for _ in range(int(FORGOTTEN_S // 30)):
            await asyncio.sleep(30.0)
            await one.beat(of(got))
        classes = len(queue.classes)
        await one.world.central.services.explainer.job(one.world.user(), held)
        await act(one, ActionName.RELEASE, held)
        await one.turn(ended(got))
        again = [(await one.ask()).job, (await one.ask(holding=())).job]

        assert got.job == running
        assert classes == 2
        assert again[0] == waiting and again[1] in (waiting, held)
        assert await one.state(running) is JobState.DONE

    scene(tell)


def test_jobs_whose_needs_differ_in_the_order_of_words_alone_are_of_one_class() -> None:
    async def tell(one: Scene) -> None:
        for needs in (
            Need(sites=("PIC", "CSCS"), tags="a & b", banned_sites=("X", "Y")),
            Need(sites=("CSCS", "PIC", "CSCS"), tags="b&a", banned_sites=("Y", "X")),
        ):
            await parametric(one, Job(command=("true",), needs=(needs,)), {})

        assert len(one.world.central.memory.queue.classes) == 1

    scene(tell)


def test_a_start_knows_the_classes_of_live_jobs_alone() -> None:
    async def tell(one: Scene) -> None:
        waiting, dead, running, held = await kinds(one, 0, 4)
        await act(one, ActionName.KILL, dead)
        await act(one, ActionName.HOLD, held, waiting)
        got = await one.ask()
        await act(one, ActionName.RELEASE, waiting)
        await one.world.kill()
        await one.world.start()
        classes = len(one.world.central.memory.queue.classes)
        await act(one, ActionName.RELEASE, held)

        assert got.job == running
        assert classes == 2
        assert await one.state(held) is JobState.WAITING

    scene(tell)


def test_a_long_submission_of_too_many_kinds_leaves_room_for_the_next() -> None:
    async def tell(one: Scene) -> None:
        with pytest.raises(Refused) as refused:
            await kinds(one, 0, 2_500)
        jobs = await kinds(one, 3_000, 1_500)

        assert refused.value.code is Code.TOO_LARGE
        assert len(jobs) == 1_500
        assert len(one.world.central.memory.queue.classes) == 1_500

    scene(tell)


def test_lines_of_a_submission_are_stored_before_many_megabytes_of_them_are_in_memory() -> None:
    async def tell(one: Scene) -> None:
        line = msgspec.json.encode(Job(command=("run", *["a" * (MIB // 10)] * 5)))
        store, sizes = one.world.store, list[int]()

        async def seen(plain: Any, submission_id: int, jobs: Sequence[NewJob]) -> Any:
            sizes.append(sum(len(job.body) for job in jobs))
            return await plain(submission_id, jobs)

        async def lines() -> AsyncIterator[bytes]:
            for _ in range(40):
                yield line

        store.ways[submission_records.add_jobs] = seen
        made = await one.world.central.services.submissions.stream(
            one.world.user(), Submission(key="lines"), lines(), lambda: "x"
        )

        assert made.count == 40
        assert max(sizes) < CHUNK_BYTES + MIB

    scene(tell)


def test_the_matcher_takes_up_many_kinds_while_others_get_their_turn() -> None:
    async def tell(one: Scene) -> None:
        queue = one.world.central.memory.queue
        known: list[int] = []

        async def watch() -> None:
            while True:
                known.append(len(queue.classes))
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch())
            await kinds(one, 0, 20 * NEW_A_TURN)
            watching.cancel()

        steps = [after - before for before, after in zip(known, known[1:], strict=False)]
        assert max(steps) == NEW_A_TURN
        assert len(queue.matcher) == 20 * NEW_A_TURN

    scene(tell)


def test_names_that_nobody_has_are_compared_and_shown_within_bounds() -> None:
    async def tell(one: Scene) -> None:
        long_names = ["{" + "n" * 400 + str(n) + "}" for n in range(200)]
        given: dict[str, str | int] = {"m" * 400 + str(n): n for n in range(200)}
        began = time.process_time()
        with pytest.raises(Refused) as refused:
            await parametric(one, Job(command=("run", *long_names)), given)

        assert time.process_time() - began < 1.0
        assert len(refused.value.message) < 5_000
        assert "and 180 more" in refused.value.message

    scene(tell)


def test_a_job_has_so_many_names_and_files() -> None:
    async def tell(one: Scene) -> None:
        given = {f"N{n}": "" for n in range(NAMES_MAX + 1)}
        files = tuple(
            Input(name=f"f{n}", sha256="0" * 64, size_bytes=1) for n in range(NAMES_MAX + 1)
        )
        with pytest.raises(Refused) as of_names:
            await one.submit(1, environment=given)
        with pytest.raises(Refused) as of_files:
            await one.submit(1, inputs=files)
        with pytest.raises(Refused) as of_parameters:
            await parametric(one, Job(command=("run", "{N1}")), dict(given))

        assert of_names.value.field == "jobs[0].environment"
        assert of_files.value.field == "jobs[0].inputs"
        assert of_parameters.value.field == "parameters[0]"
        assert f"at most {NAMES_MAX}" in of_names.value.message

    scene(tell)


def test_large_jobs_of_one_request_are_checked_some_at_a_time() -> None:
    rows = [msgspec.Raw(b'"' + b"x" * 900_000 + b'"')] * 5 + [msgspec.Raw(b'""')] * 1_500

    assert [len(run) for run in cut(rows)] == [2, 2, 1_000, 501]
