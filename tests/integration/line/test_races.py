"""Two things at once, at the one moment where it matters: nobody is told what is not so."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from pilotage.central.dispatch import record as turn_records
from pilotage.central.errors import Refused
from pilotage.central.identity.callers import PilotCaller
from pilotage.central.jobs import record as job_records, record_submissions as submission_records
from pilotage.central.jobs.leases import LeasePhase
from pilotage.central.jobs.record_types import AttemptChange, NewAttempt, NewJob
from pilotage.central.pilots import record as pilot_records
from pilotage.central.store.engine import CHUNK_MAX
from pilotage.proto.api.jobs import Submission, Submitted
from pilotage.proto.api.pilots import SecretRequest
from pilotage.proto.documents.job import Job
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import Ask, Beat, How, Node, Register
from pilotage.proto.pilot_states import PilotState
from pilotage.proto.problems import Code
from tests.fake_bus import FakeBus
from tests.integration.line.test_protocol import OFFER, Scene, ended, of, scene


def test_a_kill_while_another_match_is_read_again_reaches_the_pilot() -> None:
    async def tell(one: Scene) -> None:
        first, second = await one.submit(2)
        store = one.world.store

        async def beaten(
            turn: Any, changes: Sequence[AttemptChange], attempts: Sequence[NewAttempt]
        ) -> Any:
            del store.ways[turn_records.turn]
            await one.kill(first)  # before the match is written
            result = await turn(changes, attempts)
            store.ways[job_records.standing] = slow
            return result

        async def slow(standing: Any, job_ids: Sequence[int]) -> Any:
            del store.ways[job_records.standing]
            await one.kill(second)  # after its match is written
            return await standing(job_ids)

        store.ways[turn_records.turn] = beaten
        one.ask_n += 1
        reply = await one.turn(ask=Ask(n=one.ask_n, offer=OFFER, jobs_max=2))
        assert reply.ask is not None
        (got,) = reply.ask.assignments
        stopped = [stop.job for stop in (await one.turn()).stop]
        await one.turn(ended(got, how=How.KILLED, exit_code=None))

        assert (got.job, stopped) == (second, [second])
        assert await one.state(second) is JobState.KILLED

    scene(tell)


def test_the_same_beat_by_two_ways_takes_a_job_back_once_and_is_stale_by_none() -> None:
    async def tell(one: Scene) -> None:
        (job,) = await one.submit()
        got = await one.ask()
        await asyncio.sleep(130.0)
        assert await one.state(job) is JobState.WAITING
        plain = one.world.store.synced

        async def slow() -> None:
            await asyncio.sleep(0.02)

        one.world.store.synced = slow  # type: ignore[method-assign]
        stale = await asyncio.gather(one.beat(of(got)), one.beat(of(got)))
        one.world.store.synced = plain  # type: ignore[method-assign]
        lease = one.world.central.memory.leases.of_job(job)

        assert [len(late) for late in stale] == [0, 0]
        assert lease is not None and lease.phase is LeasePhase.LIVE
        assert await one.state(job) is JobState.RUNNING

    scene(tell)


def test_a_pilot_that_says_good_bye_twice_has_said_it_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def slow(_bus: FakeBus, _community: str, _pilot: str) -> None:
        await asyncio.sleep(1.0)  # a broker may take its time

    monkeypatch.setattr(FakeBus, "remove_login", slow)

    async def tell(one: Scene) -> None:
        dispatch = one.world.central.services.dispatch

        async def goodbye(n: int) -> None:
            await asyncio.sleep(0.1 * n)
            await dispatch.beat(
                one.caller, Beat(gen=one.gen, session=one.session, n=n, goodbye=True)
            )

        await asyncio.gather(goodbye(1), goodbye(2))
        row = await one.world.store.read(pilot_records.pilot, one.caller.pilot)
        assert row is not None and row.state is PilotState.DONE

    scene(tell)


@pytest.mark.parametrize("by_key", [True, False])
def test_a_submission_that_no_store_had_room_for_may_be_made_again(by_key: bool) -> None:
    """Not even dropping the half of it was possible: its key is not spent, and its rows go."""

    async def tell(one: Scene) -> None:
        store = one.world.store
        body = msgspec.Raw(msgspec.json.encode(Job(command=("run",))))
        jobs = [body] * (3 * CHUNK_MAX)

        async def submit() -> Submitted:
            return await one.world.central.services.submissions.submit(
                one.world.user(), Submission(key="k", jobs=jobs), body_hash="h"
            )

        written: list[int] = []

        async def second_finds_it_full(
            plain: Any, submission_id: int, jobs: Sequence[NewJob]
        ) -> int:
            store.full = bool(written)
            written.append(await plain(submission_id, jobs))
            return written[-1]

        store.ways[submission_records.add_jobs] = second_finds_it_full
        with pytest.raises(Refused) as refused:
            await submit()
        assert refused.value.code is Code.STORE_FULL
        store.full = False
        del store.ways[submission_records.add_jobs]
        if not by_key:
            await asyncio.sleep(5.0)  # the watch drops it
        made = await submit()

        assert (made.count, made.repeated) == (3 * CHUNK_MAX, False)
        assert (await submit()).repeated

    scene(tell)


def test_a_pilot_that_is_drained_as_it_says_good_bye_is_done() -> None:
    async def tell(one: Scene) -> None:
        services, store = one.world.central.services, one.world.store
        made = await services.pilots.make_secrets(one.world.user(), SecretRequest(site="PIC"))
        me = await services.pilots.register(
            Register(secret=made.secrets[0].secret, nonce="n", node=Node(host="h"))
        )
        caller = PilotCaller(
            pilot=me.pilot, community=me.community, site=me.site, element=me.element
        )

        async def overtaken(
            move: Any, pilot: str, old: PilotState, new: PilotState, at: float, reason: str
        ) -> Any:
            del store.ways[pilot_records.move_pilot]
            await services.pilots.drain(one.world.user(), pilot)
            return await move(pilot, old, new, at, reason)

        store.ways[pilot_records.move_pilot] = overtaken
        await services.dispatch.beat(
            caller, Beat(gen=me.gen, session=me.session, n=1, goodbye=True)
        )
        row = await store.read(pilot_records.pilot, me.pilot)

        assert row is not None and row.state is PilotState.DONE
        assert one.world.central.memory.pilots.find(me.pilot) is None

    scene(tell)
