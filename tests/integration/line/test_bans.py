"""Bans on fakes: requests are refused, jobs held and killed, and released when a ban is lifted."""

import asyncio
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import pytest

from pilotage.central.dispatch import banned_jobs
from pilotage.central.errors import Refused
from pilotage.central.identity.callers import User
from pilotage.central.identity.errors import Banned
from pilotage.central.jobs import record as job_records, record_search as job_search
from pilotage.central.jobs.record_types import JobMove, JobRow, JobSearch
from pilotage.proto.api.bans import BanMade, BanRequest, Bans, BanView
from pilotage.proto.api.jobs import Action, ActionName, Submission
from pilotage.proto.api.tokens import TokenIssue
from pilotage.proto.api.transformations import (
    NewTransformation,
    TransformationAction,
    TransformationActionName,
    TransformationView,
)
from pilotage.proto.claims import Role
from pilotage.proto.documents.job import Job, Need
from pilotage.proto.documents.transformation import Transformation
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import Problem
from pilotage.proto.problems import Code
from pilotage.proto.transformation_states import TaskState, TransformationState
from tests import virtual
from tests.fake_pilot import FakeProbe

from .test_data_transformations import EVENTS, Installation, registered
from .test_on_fakes import lasts
from .test_transformations import until

LOCAL = "pilotage:local"
LEASE_S = 60.0
BEAT_S = LEASE_S / 3
IAM = "https://iam.test/"
S = JobState


class Scene:
    """A central with pilots, and people who submit jobs."""

    def __init__(self) -> None:
        self.world = Installation(lease_s=LEASE_S)
        self.said: list[tuple[str, dict[str, Any]]] = []
        self.world.log = lambda event, **fields: self.said.append((event, fields))
        self.lives: list[asyncio.Task[int]] = []

    async def pilot(self, *, cores: int = 2, seconds: float = 1e5) -> None:
        probe = FakeProbe(node_tags=("data",), cores_all=cores, memory_all_mb=4_000 * cores)
        pilot = await self.world.pilot("PIC", script=lasts(seconds), probe=probe)
        self.lives.append(asyncio.get_running_loop().create_task(pilot.agent().run()))

    async def submit(self, who: User, count: int = 1) -> list[int]:
        job = Job(command=("run",), needs=(Need(wall_s=3_600),), group="dpps")
        body = [msgspec.Raw(msgspec.json.encode(job))] * count
        wanted = Submission(key=uuid.uuid4().hex, jobs=body)
        made = await self.world.central.services.submissions.submit(
            who, wanted, body_hash=wanted.key
        )
        return [job for one in made.ids for job in range(one.first, one.first + one.count)]

    async def act(self, who: User, action: ActionName, *jobs: int, reason: str = "") -> None:
        asked = Action(action=action, ids=tuple(jobs), reason=reason)
        await self.world.central.services.control.act(who, asked)

    async def ban(self, name: str = "ada", *, reason: str = "") -> BanMade:
        asked = BanRequest(person=name, reason=reason)
        return await self.world.central.services.bans.ban(self.world.user(), asked)

    async def unban(self, ban: int) -> BanView:
        return await self.world.central.services.bans.lift(self.world.user(), str(ban))

    async def rows(self, jobs: Sequence[int]) -> dict[int, JobRow]:
        found: dict[int, JobRow] = {}
        for start in range(0, len(jobs), 1_000):
            some = list(jobs[start : start + 1_000])
            found |= await self.world.store.read(job_records.jobs, some)
        return found

    async def states(self, jobs: Sequence[int]) -> Counter[JobState]:
        return Counter(row.state for row in (await self.rows(jobs)).values())

    async def until(self, jobs: Sequence[int], **wanted: int) -> None:
        """Wait until jobs have these states."""
        right = {JobState[name.upper()]: count for name, count in wanted.items()}
        for _ in range(2_000):
            if await self.states(jobs) == right:
                return
            await asyncio.sleep(0.5)
        raise AssertionError(f"they stay {await self.states(jobs)}, not {right}")

    def events(self, name: str) -> list[dict[str, Any]]:
        return [fields for event, fields in self.said if event == name]


def a_user(subject: str = "ada", *, issuer: str = LOCAL, community: str = "ctao") -> User:
    return User(
        issuer=issuer,
        subject=subject,
        name="",
        community=community,
        groups=("dpps",),
        role=Role.USER,
        expires_at=1e12,
        jti=subject,
    )


ADA, BOB = a_user(), a_user("bob")


def scene(tell: Callable[[Scene], Awaitable[None]]) -> None:
    async def whole() -> None:
        one = Scene()
        await one.world.start()
        try:
            await tell(one)
        finally:
            for life in one.lives:
                life.cancel()
            if one.lives:
                await asyncio.wait(one.lives)
            await one.world.kill()

    virtual.run(whole(), limit_s=100_000)


# -- jobs ----------------------------------------------------------------------------------------


def test_waiting_jobs_are_held_running_ones_killed_and_those_of_others_continue() -> None:
    async def tell(one: Scene) -> None:
        await one.pilot()
        running = await one.submit(ADA, 2)
        await one.until(running, running=2)
        held_before, waiting, of_bob = (
            await one.submit(ADA, 2),
            await one.submit(ADA, 5),
            await one.submit(BOB, 3),
        )
        await one.act(ADA, ActionName.HOLD, *held_before, reason="not yet")
        began = asyncio.get_running_loop().time()
        made = await one.ban(reason="stolen token")
        await one.until(running, killed=2)
        took_s = asyncio.get_running_loop().time() - began
        await one.until(waiting, held=5)
        rows = await one.rows([*running, *waiting, *held_before])

        assert took_s < 2 * BEAT_S
        reason = f"ban {made.ban.ban}: its owner is banned since {made.ban.since}"
        assert {rows[job].reason for job in (*running, *waiting)} == {reason}
        assert {rows[job].reason for job in held_before} == {"not yet"}
        assert set(await one.states(of_bob)) <= {S.WAITING, S.RUNNING, S.MATCHED}
        (told,) = one.events("person_banned")
        assert told == {"ban": made.ban.ban, "person": "ada", "who": "admin", "why": "stolen token"}
        counted = one.events("ban_enforced")
        assert (sum(it["held"] for it in counted), sum(it["killed"] for it in counted)) == (5, 2)

        await one.unban(made.ban.ban)
        await asyncio.sleep(10.0)
        assert await one.states(held_before) == {S.HELD: 2}
        assert await one.states(running) == {S.KILLED: 2}
        assert set(await one.states(waiting)) <= {S.WAITING, S.MATCHED, S.RUNNING}
        assert one.events("ban_released") == [{"ban": made.ban.ban, "person": "ada", "count": 5}]
        assert one.world.central.services.tokens.bans.open() == ()
        history = await one.world.central.services.queries.history(one.world.user(), waiting[0])
        steps = [(it.source, it.event, it.detail) for it in history.occurrences]
        assert ("central", "held", reason) in steps
        assert ("central", "released", f"ban {made.ban.ban} of its owner is lifted") in steps

    scene(tell)


def test_a_person_is_banned_in_all_communities_and_only_with_that_issuer() -> None:
    async def tell(one: Scene) -> None:
        mine = await one.submit(ADA) + await one.submit(a_user(community="lst"))
        other = await one.submit(a_user(issuer=IAM))
        await one.ban("ada")
        await one.until(mine, held=2)

        assert await one.states(other) == {S.WAITING: 1}
        await one.ban(f"ada@{IAM}")
        await one.until(other, held=1)

    scene(tell)


def test_jobs_that_come_to_wait_during_the_ban_are_held_as_well() -> None:
    async def tell(one: Scene) -> None:
        await one.pilot()
        (running, *waiting) = await one.submit(ADA, 3)
        await one.act(ADA, ActionName.HOLD, *waiting)
        await one.until([running], running=1)
        made = await one.ban()
        await one.until([running], killed=1)
        await one.act(one.world.user(), ActionName.RELEASE, *waiting)
        await one.act(one.world.user(), ActionName.RESCHEDULE, running)
        await asyncio.sleep(2 * BEAT_S)
        rows = await one.rows([running, *waiting])

        assert {row.state for row in rows.values()} <= {S.HELD, S.KILLED}
        assert {row.reason[:6] for row in rows.values()} == {f"ban {made.ban.ban}:"}
        await one.unban(made.ban.ban)
        await asyncio.sleep(5.0)
        assert S.HELD not in await one.states([running, *waiting])

    scene(tell)


def test_a_job_that_is_matched_while_the_others_are_held_is_killed() -> None:
    async def tell(one: Scene) -> None:
        jobs = await one.submit(ADA, 10)

        async def first_a_pilot(call: Any, moves: Sequence[JobMove], keep: Any = None) -> Any:
            """Let a pilot take a job between the search and the move."""
            del one.world.store.ways[job_records.move]
            await one.pilot(cores=1)
            await one.until(jobs, waiting=9, running=1)
            return await call(moves, keep)

        one.world.store.ways[job_records.move] = first_a_pilot
        made = await one.ban()
        await one.until(jobs, held=9, killed=1)
        await one.unban(made.ban.ban)
        await asyncio.sleep(5.0)

        assert (await one.states(jobs))[S.KILLED] == 1
        assert S.HELD not in await one.states(jobs)

    scene(tell)


def test_a_submission_that_began_before_the_ban_is_held_when_it_has_ended() -> None:
    async def tell(one: Scene) -> None:
        await one.submit(ADA)
        go_on = asyncio.Event()

        async def lines() -> Any:
            yield b'{"command": ["run"], "group": "dpps"}'
            await go_on.wait()
            for _ in range(3):
                yield b'{"command": ["run"], "group": "dpps"}'

        submitting = asyncio.get_running_loop().create_task(
            one.world.central.services.submissions.stream(
                ADA, Submission(key="slow"), lines(), lambda: "hash"
            )
        )
        await asyncio.sleep(1.0)
        await one.ban()
        go_on.set()
        (made,) = (await submitting).ids
        await one.until(range(made.first, made.first + made.count), held=4)
        with pytest.raises(Banned):
            await one.submit(ADA)

    scene(tell)


def test_whoever_is_banned_again_during_the_release_keeps_the_jobs_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(banned_jobs, "CHUNK_MAX", 10)

    async def tell(one: Scene) -> None:
        jobs = await one.submit(ADA, 30)
        made = await one.ban()
        await one.until(jobs, held=30)
        again: list[BanMade] = []
        is_banned = asyncio.Event()

        async def then_again(plain: Any, *args: Any, **named: Any) -> Any:
            """Ban the person again after the first chunk was released."""
            if (await one.states(jobs))[S.WAITING] and not again:
                again.append(await one.ban(reason="again"))
                is_banned.set()
            return await plain(*args, **named)

        one.world.store.ways[job_search.ids] = then_again
        await one.unban(made.ban.ban)
        await is_banned.wait()
        await one.until(jobs, held=30)
        (row,) = one.world.central.services.tokens.bans.open()

        assert (row.ban_id, row.is_in_force, row.reason) == (made.ban.ban, True, "again")
        assert again[0].repeated is False
        assert sum(it["held"] for it in one.events("ban_enforced")) == 30 + 10
        await one.unban(row.ban_id)
        await one.until(jobs, waiting=30)

    scene(tell)


# -- crashes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunks_done", [0, 1, 2])
def test_a_crash_in_the_middle_is_continued_after_the_restart(
    chunks_done: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(banned_jobs, "CHUNK_MAX", 10)

    async def tell(one: Scene) -> None:
        jobs = await one.submit(ADA, 35)
        before = await one.submit(ADA, 2)
        await one.act(ADA, ActionName.HOLD, *before)
        made = await one.ban()
        await dies(one, chunks_done)
        in_the_middle = await one.states(jobs)
        await one.world.start()
        await one.until(jobs, held=35)
        with pytest.raises(Refused) as refused:
            one.world.central.services.tokens.bans.check(LOCAL, "ada")

        assert in_the_middle[S.HELD] == 10 * chunks_done
        assert refused.value.code is Code.BANNED
        await one.unban(made.ban.ban)
        await dies(one, chunks_done)
        in_the_middle = await one.states(jobs)
        await one.world.start()
        await one.until(jobs, waiting=35)
        await asyncio.sleep(2.0)

        assert in_the_middle[S.WAITING] == 10 * chunks_done
        assert await one.states(before) == {S.HELD: 2}
        assert one.world.central.services.tokens.bans.open() == ()

    scene(tell)


async def dies(one: Scene, chunks_done: int) -> None:
    """Let the central die when it has changed so many chunks of jobs."""
    died, done = asyncio.Event(), list[int]()

    async def counted(plain: Any, moves: Sequence[JobMove], keep: Any = None) -> Any:
        if len(done) == chunks_done:
            died.set()
            await asyncio.get_running_loop().create_future()  # no answer ever comes
        done.append(len(moves))
        return await plain(moves, keep)

    one.world.store.ways[job_records.move] = counted
    await died.wait()
    await one.world.kill()
    del one.world.store.ways[job_records.move]


def test_a_lease_that_is_over_while_the_central_is_away_does_not_start_the_job_again() -> None:
    async def tell(one: Scene) -> None:
        await one.pilot()
        (job,) = await one.submit(ADA)
        await one.until([job], running=1)
        for life in one.lives:  # the pilot is silent from now on
            life.cancel()
        await one.ban()
        await one.world.kill()
        await one.world.start()
        await one.until([job], killed=1)

    scene(tell)


def test_many_jobs_are_held_a_few_at_a_time_and_new_matches_killed_in_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(banned_jobs, "CHUNK_MAX", 10)
    monkeypatch.setattr(banned_jobs, "CHUNKS_A_ROUND", 2)

    async def tell(one: Scene) -> None:
        jobs = await one.submit(ADA, 75)
        searches: list[tuple[JobState, ...]] = []

        async def noted(plain: Any, search: JobSearch, **named: Any) -> Any:
            searches.append(search.states)
            return await plain(search, **named)

        one.world.store.ways[job_search.ids] = noted
        began = asyncio.get_running_loop().time()
        await one.ban()
        await one.until(jobs, held=75)

        waits = (S.WAITING,)
        names = ["waiting" if one == waits else "live" for one in searches]
        assert names == ["live", "waiting", "waiting"] * 3 + ["live", "waiting", "waiting"]
        assert asyncio.get_running_loop().time() - began < 3.0, "it does not rest in between"
        await asyncio.sleep(10.0)
        assert len(searches) == len(names), "there is nothing more to look for"

    scene(tell)


def test_the_release_of_many_jobs_does_not_delay_the_next_ban(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(banned_jobs, "CHUNK_MAX", 10)
    monkeypatch.setattr(banned_jobs, "CHUNKS_A_ROUND", 1)

    async def tell(one: Scene) -> None:
        many, few = await one.submit(ADA, 95), await one.submit(BOB, 5)
        made = await one.ban()
        await one.until(many, held=95)
        left: list[int] = []

        async def slowly(plain: Any, moves: Sequence[JobMove], keep: Any = None) -> Any:
            if moves[0].job_id in few:
                left.append((await one.states(many))[S.HELD])
            await asyncio.sleep(1.0)
            return await plain(moves, keep)

        one.world.store.ways[job_records.move] = slowly
        await one.unban(made.ban.ban)
        await asyncio.sleep(1.5)
        await one.ban("bob")
        await one.until(few, held=5)
        await one.until(many, waiting=95)

        assert left and left[0] >= 60, "the release was not awaited"
        assert one.events("ban_released")[0]["count"] == 95

    scene(tell)


# -- requests ------------------------------------------------------------------------------------


def test_over_http_an_operator_bans_and_unbans_and_the_person_is_refused_meanwhile() -> None:
    async def tell(one: Scene) -> None:
        world = one.world
        tokens, admin = world.central.services.tokens, world.user()
        ada = (
            await tokens.issue(admin, TokenIssue(subject="ada", community="ctao", groups=("dpps",)))
        ).token
        oscar = (
            await tokens.issue(
                admin, TokenIssue(subject="oscar", community="ctao", role=Role.OPERATOR)
            )
        ).token

        async def asked(token: str, method: str, path: str, body: object = None) -> Any:
            content = b"" if body is None else msgspec.json.encode(body)
            reply = await world.ask(method, path, content, token)
            return reply.status, reply.body

        before = await asked(ada, "GET", "/v1/jobs")
        status, told = await asked(oscar, "POST", "/v1/bans", BanRequest(person="ada", reason="x"))
        made = msgspec.json.decode(told, type=BanMade)
        refused = [
            await asked(ada, "GET", "/v1/jobs"),
            await asked(ada, "POST", "/v1/bans", BanRequest(person="oscar")),
            await asked(ada, "GET", "/v1/whoami"),
        ]
        listed = await asked(oscar, "GET", "/v1/bans?person=ada")
        health = await asked(ada, "GET", "/health")
        lifted = await asked(oscar, "DELETE", f"/v1/bans/{made.ban.ban}")
        after = await asked(ada, "GET", "/v1/jobs")
        gone = await asked(oscar, "DELETE", "/v1/bans/77")

        assert (before[0], status, health[0], lifted[0], after[0]) == (200, 200, 200, 200, 200)
        for code, answer in refused:
            problem = msgspec.json.decode(answer, type=Problem)
            assert (code, problem.code) == (403, "banned")
            assert problem.message == (
                f"'ada' has been banned from this central since {made.ban.since} (x): "
                "ask 'oscar', who set the ban, or another operator"
            )
        assert msgspec.json.decode(listed[1], type=Bans).bans == [made.ban]
        assert msgspec.json.decode(lifted[1], type=BanView).lifted_by == "oscar"
        assert (gone[0], msgspec.json.decode(gone[1], type=Problem).code) == (404, "not_found")

    scene(tell)


# -- what the central does for owners ------------------------------------------------------------


async def added(one: Scene, who: User, **fields: Any) -> int:
    given = {"name": "t", "job": {"command": ["run", "{task}"], "group": "dpps"}, **fields}
    document = msgspec.convert(given, Transformation)
    made = await one.world.central.services.transformations.add(
        who, NewTransformation(document=document)
    )
    view = getattr(made, "view", None)
    assert isinstance(view, TransformationView)
    return view.id


def test_a_transformation_of_a_banned_person_makes_no_jobs_and_continues_afterwards() -> None:
    async def tell(one: Scene) -> None:
        await one.pilot(seconds=30.0)
        mine = await added(one, ADA, tasks=40, tasks_open_max=4)
        his = await added(one, BOB, name="of bob", tasks=12, tasks_open_max=4)
        await until(one.world, mine, lambda view: bool(view.tasks.get(TaskState.DONE)))
        made = await one.ban()
        await until(one.world, his, lambda view: view.tasks == {TaskState.DONE: 12})
        view = await until(one.world, mine, lambda view: view.reason.startswith("waits: 'ada'"))
        jobs = [
            row.job_id for row in (await one.rows(range(1, 200))).values() if row.owner == "ada"
        ]

        assert "has been banned from this central" in view.reason
        assert view.state is TransformationState.ACTIVE
        assert view.tasks_made < 40
        assert set(await one.states(jobs)) <= {S.DONE, S.KILLED, S.HELD}
        await asyncio.sleep(200.0)
        assert len(await one.rows(range(1, 200))) == view.tasks_made + 12, "no more were made"
        await one.unban(made.ban.ban)
        view = await until(one.world, mine, lambda v: v.state is TransformationState.COMPLETED)
        assert (view.tasks_made, view.reason) == (40, "")

    scene(tell)


def test_killed_tasks_are_not_tried_again_during_the_ban_and_it_does_not_complete() -> None:
    async def tell(one: Scene) -> None:
        await one.pilot(cores=3, seconds=500.0)
        await registered(one.world, range(3))
        mine = await added(one, ADA, **EVENTS, failover=True)
        await until(one.world, mine, lambda view: view.tasks_made == 3)
        jobs = list(await one.rows(range(1, 100)))
        await one.until(jobs, running=3)
        last = TransformationAction(action=TransformationActionName.COMPLETE)
        await one.world.central.services.transformations.act(ADA, str(mine), last)
        made = await one.ban()
        await one.until(jobs, killed=3)
        await asyncio.sleep(1_000.0)
        view = await until(one.world, mine, lambda view: view.reason.startswith("waits: 'ada'"))

        assert view.state is TransformationState.COMPLETING
        assert view.tasks == {TaskState.KILLED: 3}
        assert len(await one.rows(range(1, 100))) == 3
        await one.unban(made.ban.ban)
        view = await until(one.world, mine, lambda v: v.state is TransformationState.COMPLETED)
        assert view.tasks == {TaskState.KILLED: 3, TaskState.DONE: 3}

    scene(tell)
