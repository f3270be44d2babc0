"""Tokens of payloads from a provider to the pilot's file, through the shipped central, on fakes."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from pilotage.central.errors import Refused
from pilotage.central.identity.callers import AttemptCaller, User
from pilotage.central.identity.providers.mapping import Membership
from pilotage.central.identity.providers.people import ProvidedPerson
from pilotage.central.identity.providers.provider_files import ProviderBook, Providers
from pilotage.central.identity.sessions import rows as session_rows
from pilotage.central.identity.sessions.life import SessionHolder
from pilotage.central.identity.sessions.rows import SessionKind
from pilotage.pilot.ports import HttpReply
from pilotage.proto.api.jobs import Submission
from pilotage.proto.api.productions import NewProduction
from pilotage.proto.api.transformations import NewTransformation, TransformationDetail
from pilotage.proto.claims import Role
from pilotage.proto.documents.job import Job, Need, PayloadToken
from pilotage.proto.documents.transformation import Transformation
from pilotage.proto.documents.workflow import Workflow
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import TOKENS_TAG, Assignment, PayloadTokenRequest
from pilotage.proto.problems import Code
from pilotage.proto.wire import encode
from tests.fake_central import settle
from tests.fake_pilot import FakePilot, FakeProbe, Script
from tests.fakes import FakeInstallation
from tests.no_providers import drivers_of
from tests.unit.identity.login_world import IAM, FakeProvider, FakeProviderHttp, entry

from .test_on_fakes import lasts, states, story, until_all_end
from .test_protocol import OFFER, Scene, scene

HOUR_S = 3_600.0
TOKEN = PayloadToken(audience="https://se.example.org", scopes=("storage.read:/ctao",))
WIDE = PayloadToken(audience="https://se.example.org", scopes=("storage.modify:/",))
NODE = FakeProbe(node_tags=(TOKENS_TAG,), cores_all=4)
ABLE = msgspec.convert(msgspec.to_builtins(OFFER) | {"tags": (TOKENS_TAG,)}, type(OFFER))


class Institute:
    """A provider, and alice, who has logged in through it."""

    def __init__(self, world: FakeInstallation) -> None:
        self.world, self.provider = world, FakeProvider()
        self.http = FakeProviderHttp({IAM: self.provider})
        providers = Providers()
        providers.book = ProviderBook({"iam": entry()})
        world.identity = drivers_of(providers, self.http, world.clock, world.randomness)

    async def logged_in(self) -> tuple[User, str]:
        """Return alice, and the renewal secret of a new session."""
        sessions = self.world.central.services.logins.sessions
        holder = SessionHolder(kind=SessionKind.COMMAND, host="", address="")
        person = ProvidedPerson(
            issuer=IAM,
            subject="alice",
            name="Alice",
            email="",
            claims={},
            refresh=self.provider.tokens()["refresh_token"],
        )
        rights = Membership(community="ctao", role=Role.USER, groups=("dpps",), rows=())
        tokens = sessions.tokens_of(await sessions.open("iam", person, rights, holder))
        caller = self.world.central.services.tokens.caller(tokens.token)
        assert isinstance(caller, User)
        return caller, tokens.renewal

    async def submitted(
        self, caller: User, count: int = 1, hours: int = 1, **tokens: PayloadToken
    ) -> list[int]:
        job = Job(command=("run",), needs=(Need(wall_s=hours * 3_600),), tokens=tokens)
        body = Submission(
            key=uuid.uuid4().hex, jobs=[msgspec.Raw(msgspec.json.encode(job))] * count
        )
        made = await self.world.central.services.submissions.submit(
            caller, body, body_hash=body.key
        )
        return [one for part in made.ids for one in range(part.first, part.first + part.count)]


async def restarted(world: FakeInstallation) -> Institute:
    """Give the central a provider, which it knows from its start on."""
    await world.kill()
    institute = Institute(world)
    await world.start()
    await settle()
    return institute


Tell = Callable[[FakeInstallation, Institute], Awaitable[None]]


def told(tell: Tell, *, script: Callable[[Assignment], Script], limit_s: float = 20_000.0) -> None:
    """Run a central with a provider, and a pilot."""

    async def inside(world: FakeInstallation) -> None:
        await tell(world, await restarted(world))

    story(inside, script=script, node=NODE, limit_s=limit_s)


async def progress(world: FakeInstallation, job: int) -> list[str]:
    history = await world.central.services.queries.history(world.user(), job)
    return [one.detail for one in history.occurrences if one.event == "progress"]


def token_of(pilot: FakePilot) -> bytes:
    found = [c for p, c in pilot.workspace.files.items() if p.parent.name == "tokens"]
    return found[0] if found else b""


async def refresh_of(world: FakeInstallation) -> list[str]:
    return [one.refresh for one in await world.store.read(session_rows.sessions, None, limit=10)]


def test_a_job_outlives_an_outage_and_the_session_of_its_owner() -> None:
    """A job of 24 h with tokens of 1 h, an outage of 5 h, and a logout before that."""

    async def tell(world: FakeInstallation, institute: Institute) -> None:
        caller, renewal = await institute.logged_in()
        (job,) = await institute.submitted(caller, hours=30, default=TOKEN)
        pilot = world.pilots[0]
        await asyncio.sleep(3 * HOUR_S)
        assert token_of(pilot)
        await world.central.services.logins.sessions.log_out(renewal)
        assert any(await refresh_of(world)), "a running job gets tokens by it"
        for part, away in enumerate((False, True, False)):
            before, institute.provider.away = token_of(pilot), away
            await asyncio.sleep(5 * HOUR_S)
            assert (token_of(pilot) == before) is away, part
        assert await until_all_end(world) == {JobState.DONE: 1}

        assert token_of(pilot) == b""
        assert await progress(world, job) == [], "an outage is no refusal"
        await asyncio.sleep(2 * world.settings.retention.round_s)
        assert not any(await refresh_of(world)) and institute.provider.ended

    told(tell, script=lasts(24 * HOUR_S), limit_s=40 * HOUR_S)


def test_jobs_of_one_person_share_a_token_and_a_refused_one_is_in_the_history_once() -> None:
    async def tell(world: FakeInstallation, institute: Institute) -> None:
        caller, _ = await institute.logged_in()
        jobs = await institute.submitted(caller, 4, default=TOKEN, wide=WIDE)
        assert await until_all_end(world) == {JobState.DONE: 4}

        scopes = [scope for _, scope in institute.provider.exchanges]
        assert scopes.count("storage.read:/ctao") == 1
        for job in jobs:
            (said,) = await progress(world, job)
            assert "token wide is refused" in said and "invalid_scope" in said

    told(tell, script=lasts(0.4 * HOUR_S))


def test_a_job_with_tokens_waits_for_a_pilot_that_can_fetch_them() -> None:
    async def tell(one: Scene) -> None:
        institute = await restarted(one.world)
        caller, _ = await institute.logged_in()
        (job,) = await institute.submitted(caller, default=TOKEN)
        explained = await one.world.central.services.explainer.job(one.world.user(), job)
        assert explained.fitting == 0
        with pytest.raises(ValueError, match="not enough values"):
            await one.ask()
        assignment = await one.ask(offer=ABLE)

        assert assignment.job == job
        assert msgspec.json.decode(msgspec.json.encode(assignment.body))["tokens"] == ["default"]

    scene(tell)


# -- who may ask ----------------------------------------------------------------------------------


def test_only_a_person_who_logged_in_may_ask_for_tokens() -> None:
    async def tell(world: FakeInstallation, institute: Institute) -> None:
        local, services = world.user(), world.central.services
        alice, _ = await institute.logged_in()
        job = Job(command=("run",), tokens={"default": TOKEN})
        raw = msgspec.Raw(msgspec.json.encode(job))
        doc = Transformation(name="t", tasks=2, job=job)
        steps = {"make": {"job": msgspec.to_builtins(job), "tasks": 2}}
        flow = msgspec.convert({"name": "p", "steps": steps}, Workflow)
        empty = msgspec.Raw(b"{}")

        def ways(caller: User) -> dict[str, Callable[[], Awaitable[Any]]]:
            submit = services.submissions.submit
            return {
                "jobs[0].tokens": lambda: submit(
                    caller, Submission(key=f"1{caller.subject}", jobs=[raw]), body_hash="1"
                ),
                "template.tokens": lambda: submit(
                    caller,
                    Submission(key=f"2{caller.subject}", template=job, parameters=[empty]),
                    body_hash="2",
                ),
                "job.tokens": lambda: services.transformations.add(
                    caller, NewTransformation(document=doc)
                ),
                "workflow.steps.make.job.tokens": lambda: services.productions.add(
                    caller, NewProduction(name="p", workflow=flow)
                ),
            }

        # A direct token can have fewer scopes than alice's session, which would give the tokens.
        direct = msgspec.structs.replace(alice, session="", jti="of the provider")
        for caller in (local, direct):
            for field, way in ways(caller).items():
                with pytest.raises(Refused, match="log in with `pilotage login`") as why:
                    await way()
                assert (why.value.code, why.value.field) == (Code.FORBIDDEN, field)
        for way in ways(alice).values():
            await way()
        for _ in range(100):
            if (await states(world)).get(JobState.DONE, 0) == 6:
                break
            await asyncio.sleep(10)
        assert await states(world) == {JobState.DONE: 6}
        assert len(institute.provider.exchanges) == 1

    told(tell, script=lasts(10))


def test_jobs_of_a_transformation_keep_the_grant_of_their_owner() -> None:
    async def tell(world: FakeInstallation, institute: Institute) -> None:
        caller, renewal = await institute.logged_in()
        job = Job(command=("run",), tokens={"default": TOKEN})
        made = await world.central.services.transformations.add(
            caller, NewTransformation(document=Transformation(name="t", tasks=2, job=job))
        )
        assert isinstance(made, TransformationDetail)
        await asyncio.sleep(100)
        await world.central.services.logins.sessions.log_out(renewal)

        assert any(await refresh_of(world))

    told(tell, script=lasts(HOUR_S))


# -- which attempts -------------------------------------------------------------------------------


def attempt(one: Assignment, **changed: int) -> AttemptCaller:
    mine = AttemptCaller(job=one.job, epoch=one.epoch, attempt_id=one.attempt_id, community="ctao")
    return msgspec.structs.replace(mine, **changed)


async def given(world: FakeInstallation, caller: AttemptCaller, name: str = "default") -> str:
    request = PayloadTokenRequest(caller.job, caller.epoch, name)
    return (await world.central.services.payload_tokens.give(caller, request)).token


def test_only_the_current_attempt_of_a_running_job_gets_a_token() -> None:
    async def tell(one: Scene) -> None:
        institute = await restarted(one.world)
        caller, _ = await institute.logged_in()
        await institute.submitted(caller, default=TOKEN)
        first = await one.ask(offer=ABLE)
        assert await given(one.world, attempt(first))
        for changed in ({"attempt_id": first.attempt_id + 1}, {"epoch": 2}, {"job": 99}):
            with pytest.raises(Refused, match="is over") as why:
                await given(one.world, attempt(first, **changed))
            assert why.value.code is Code.FORBIDDEN
        with pytest.raises(Refused, match="its tokens: default") as why:
            await given(one.world, attempt(first), "other")
        assert why.value.code is Code.NOT_FOUND

        await asyncio.sleep(2 * first.lease_s)  # no beat: the lease is over, and the job waits
        with pytest.raises(Refused, match="is over"):
            await given(one.world, attempt(first))
        second = await one.ask(offer=ABLE)
        assert second.epoch == 2 and await given(one.world, attempt(second))
        with pytest.raises(Refused, match="is over"):
            await given(one.world, attempt(first))

    scene(tell)


def test_the_route_takes_the_token_of_the_attempt_alone() -> None:
    async def tell(one: Scene) -> None:
        institute = await restarted(one.world)
        caller, _ = await institute.logged_in()
        await institute.submitted(caller, default=TOKEN)
        mine = await one.ask(offer=ABLE)
        body = encode(PayloadTokenRequest(mine.job, mine.epoch, "default"))
        services = one.world.central.services
        pilot, _ = services.tokens.pilot_token("p", "ctao", "PIC", "")

        async def asked(token: str) -> HttpReply:
            return await one.world.ask("POST", "/v1/attempts/token", body, token)

        reply = await asked(mine.token)
        assert reply.status == 200
        assert msgspec.json.decode(reply.body) == {
            "token": "for-https://se.example.org-1",
            "expires_in_s": 3600.0,
        }
        assert [(await asked(one)).status for one in (pilot, "", "pa1.x.y")] == [403, 401, 401]
        other = encode(PayloadTokenRequest(mine.job + 1, mine.epoch, "default"))
        assert (await one.world.ask("POST", "/v1/attempts/token", other, mine.token)).status == 403

    scene(tell)
