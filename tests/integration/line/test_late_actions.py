"""Actions that come again with their key: answered as the first time, and done once, wholly."""

import asyncio
from typing import Any

import msgspec
import pytest

from pilotage.central.accounts.record_series import DAY_S
from pilotage.central.errors import Refused
from pilotage.central.identity.tokens import ADMIN_FILE
from pilotage.central.jobs import record as job_records
from pilotage.central.settings import RetentionSettings
from pilotage.central.store.engine import CHUNK_MAX
from pilotage.central.store.errors import StoreFull
from pilotage.proto.api.jobs import Action, ActionName, ActionReply, JobFilter
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import Problem
from pilotage.proto.problems import Code
from tests.fakes import DATA

from .test_protocol import Scene, scene

MANY = 2 * CHUNK_MAX + 500


async def act(one: Scene, name: ActionName, *jobs: int, key: str = "", **more: Any) -> ActionReply:
    action = Action(action=name, ids=jobs, key=key, **more)
    return await one.world.central.services.control.act(one.world.user(), action)


async def rounds(one: Scene, job: int) -> int:
    return (await one.world.store.write(job_records.standing, [job]))[job].round


async def count(one: Scene, state: JobState) -> int:
    return sum(
        row.count for row in await one.world.store.read(job_records.counts) if row.state is state
    )


def fail_after(one: Scene, writes: int) -> None:
    """The store takes so many writes more, and is full then."""
    store = one.world.store
    plain, left = store.committing, writes

    def committing() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise StoreFull("the test says so")
        plain()

    store.committing = committing  # type: ignore[method-assign]


def with_room(one: Scene) -> None:
    del one.world.store.committing


def test_a_late_copy_of_a_reschedule_does_not_open_a_job_that_was_killed_since() -> None:
    async def tell(one: Scene) -> None:
        (job,) = await one.submit()
        await act(one, ActionName.KILL, job, key="first kill")
        first = await act(one, ActionName.RESCHEDULE, job, key="again, please")
        await act(one, ActionName.KILL, job, key="second kill")
        await one.world.kill()
        await one.world.start()
        late = await act(one, ActionName.RESCHEDULE, job, key="again, please")
        unheard = await act(one, ActionName.RESCHEDULE, job, key="again, please")

        assert late == first == unheard == ActionReply(done=1, unchanged=0)
        assert await one.state(job) is JobState.KILLED
        assert await rounds(one, job) == 2
        assert (await act(one, ActionName.RESCHEDULE, job)).done == 1, "without a key it counts"

    scene(tell)


@pytest.mark.parametrize("early", [ActionName.HOLD, ActionName.RELEASE, ActionName.RESCHEDULE])
def test_what_found_nothing_to_do_finds_nothing_later(early: ActionName) -> None:
    async def tell(one: Scene) -> None:
        (job,) = await one.submit()
        if early is ActionName.HOLD:
            await act(one, ActionName.HOLD, job)
        first = await act(one, early, job, key="k")
        after = {ActionName.HOLD: ActionName.RELEASE, ActionName.RELEASE: ActionName.HOLD}
        await act(one, after.get(early, ActionName.KILL), job)
        state = await one.state(job)
        late = await act(one, early, job, key="k")

        assert late == first == ActionReply(done=0, unchanged=1)
        assert await one.state(job) is state

    scene(tell)


def test_the_same_key_with_another_body_is_refused_by_name() -> None:
    async def tell(one: Scene) -> None:
        job, other = await one.submit(2)
        await act(one, ActionName.HOLD, job, key="mine")
        for name, ids in ((ActionName.HOLD, (other,)), (ActionName.KILL, (job,))):
            with pytest.raises(Refused, match="'mine' was used before for another action") as why:
                await act(one, name, *ids, key="mine")
            assert (why.value.code, why.value.field) == (Code.KEY_REUSED, "key")

        assert await one.state(other) is JobState.WAITING
        assert await one.state(job) is JobState.HELD

    scene(tell)


def test_over_http_the_same_key_gives_the_same_answer() -> None:
    async def tell(one: Scene) -> None:
        (job,) = await one.submit()
        token = (one.world.disk.read(DATA / ADMIN_FILE) or b"").decode().strip()

        async def said(kind: type[Any], **body: object) -> Any:
            text = msgspec.json.encode({"ids": [job, 99], "key": "k", **body})
            reply = await one.world.ask("POST", "/v1/jobs/actions", text, token)
            return reply.status, msgspec.json.decode(reply.body, type=kind)

        first = await said(ActionReply, action="hold")
        await said(ActionReply, action="release", key="other")
        again = await said(ActionReply, action="hold")
        status, problem = await said(Problem, action="kill")
        too_long, _ = await said(Problem, action="kill", key="k" * 201)

        assert first == again
        assert (first[0], first[1].done, first[1].refused[0].id) == (200, 1, 99)
        assert (status, problem.code, problem.field) == (409, "key_reused", "key")
        assert too_long == 422
        assert await one.state(job) is JobState.WAITING

    scene(tell)


def test_a_count_that_had_changed_stays_refused() -> None:
    async def tell(one: Scene) -> None:
        await one.submit(2)
        waiting = JobFilter(states=(JobState.WAITING,))
        for _ in range(2):
            with pytest.raises(Refused) as refused:
                await act(one, ActionName.KILL, key="k", filter=waiting, expected=3)
            assert refused.value.code is Code.COUNT_CHANGED
            await one.submit()  # now there are three, and then four

        assert {await one.state(job) for job in range(1, 5)} == {JobState.WAITING}

    scene(tell)


@pytest.mark.parametrize("by_filter", [False, True])
def test_what_a_full_store_has_left_half_done_goes_on_with_the_same_jobs(by_filter: bool) -> None:
    async def tell(one: Scene) -> None:
        jobs = await one.submit(MANY)
        await act(one, ActionName.KILL, *jobs[:3])
        killed = JobFilter(states=(JobState.WAITING,))
        ids = () if by_filter else tuple(jobs)
        more = {"filter": killed, "expected": MANY - 3} if by_filter else {}
        fail_after(one, 2 if by_filter else 1)
        with pytest.raises(Refused) as full:
            await act(one, ActionName.KILL, *ids, key="k", **more)
        with_room(one)
        half = await count(one, JobState.KILLED)
        await act(one, ActionName.RESCHEDULE, jobs[10], key="meanwhile")
        (stranger,) = await one.submit()  # matches the filter, and nobody has agreed to it
        await one.world.kill()
        await one.world.start()
        reply = await act(one, ActionName.KILL, *ids, key="k", **more)
        again = await act(one, ActionName.KILL, *ids, key="k", **more)

        assert full.value.code is Code.STORE_FULL
        assert half == CHUNK_MAX + (3 if by_filter else 0)
        assert (reply.done, reply.unchanged) == (MANY - 3, 0 if by_filter else 3)
        assert again == reply
        assert await count(one, JobState.KILLED) == MANY - 1
        assert await one.state(jobs[10]) is JobState.WAITING, "it was done before, and once"
        assert await one.state(stranger) is JobState.WAITING
        assert not one.world.store.by_hand("SELECT * FROM action_ids")

    scene(tell)


def test_two_copies_at_once_are_one_action() -> None:
    async def tell(one: Scene) -> None:
        jobs = await one.submit(MANY)
        store = one.world.store

        async def slowly() -> None:
            await asyncio.sleep(0.1)

        store.synced = slowly  # type: ignore[method-assign]
        copies = [act(one, ActionName.HOLD, *jobs, key="k") for _ in range(3)]
        other = act(one, ActionName.HOLD, jobs[0], key="other")
        *replies, of_other = await asyncio.gather(*copies, other)

        assert replies == [replies[0]] * 3
        assert (replies[0].done + of_other.done, replies[0].refused) == (MANY, [])
        (notes,) = store.by_hand("SELECT count(*) FROM note WHERE event = 'held'")[0]
        assert notes == MANY

    scene(tell)


def test_a_running_job_is_wanted_once() -> None:
    async def tell(one: Scene) -> None:
        waits, runs = await one.submit(2)
        await one.ask()
        states = {job: await one.state(job) for job in (waits, runs)}
        first = await act(one, ActionName.RESCHEDULE, waits, runs, key="k")
        await act(one, ActionName.HOLD, waits, runs, key="h")
        late = await act(one, ActionName.RESCHEDULE, waits, runs, key="k")
        wanted = one.world.store.by_hand("SELECT wanted FROM attempt WHERE wanted IS NOT NULL")

        assert sorted(states.values()) == sorted([JobState.MATCHED, JobState.WAITING])
        assert first == late == ActionReply(done=1, unchanged=1)
        assert [row["wanted"] for row in wanted] == ["hold"]

    scene(tell)


def test_keys_are_kept_for_their_days() -> None:
    async def tell(one: Scene) -> None:
        await one.world.kill()
        kept = RetentionSettings(action_days=0.01, round_s=60.0)
        one.world.settings = msgspec.structs.replace(one.world.settings, retention=kept)
        await one.world.start()
        await act(one, ActionName.HOLD, *await one.submit(), key="k")
        await asyncio.sleep(0.01 * DAY_S - 1.0)
        kept_now = "SELECT key FROM action"
        still = len(one.world.store.by_hand(kept_now))
        await asyncio.sleep(2 * kept.round_s)

        assert (still, len(one.world.store.by_hand(kept_now))) == (1, 0)

    scene(tell)
