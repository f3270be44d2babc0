"""Tokens of payloads: one exchange for many jobs, refusals, outages, and ended sessions."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from pilotage.central.errors import DependencyUnavailable, Refused
from pilotage.central.identity.callers import AttemptCaller, User
from pilotage.central.identity.payload_tokens import service as payload_tokens
from pilotage.central.identity.payload_tokens.requested_tokens import RequestedToken
from pilotage.central.identity.payload_tokens.service import (
    AWAY_S,
    REFUSED_S,
    PayloadTokens,
)
from pilotage.central.identity.providers.client_requests import ClientRequests
from pilotage.central.identity.providers.metadata import MetadataReader
from pilotage.central.identity.providers.oauth import OAuth
from pilotage.central.identity.providers.provider_http import NoEndpoint
from pilotage.central.identity.sessions import job_grants, outages, rows as session_rows
from pilotage.central.identity.sessions.confirmations import CHECK_S
from pilotage.central.identity.sessions.life import COMMAND_S, TOLERATED_S
from pilotage.central.identity.sessions.rows import GRANT_KEPT_S
from pilotage.central.jobs import record as job_records
from pilotage.central.store.errors import StoreError, StoreFull
from pilotage.proto.api.logins import LoginTokens
from pilotage.proto.claims import Role
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import PayloadTokenReply, PayloadTokenRequest
from pilotage.proto.problems import Code
from tests.contract.store.rows import a_class, a_move, submitted
from tests.fake_central import settle

from .login_world import IAM, LoginWorld, login_world
from .test_sessions import logged_in, user

HALF_S = 1_800.0
STORAGE = "https://se.example.org"


@dataclass
class FakeRequested:
    """Every attempt is live, and its job has one token."""

    scopes: tuple[str, ...] = ("storage.read:/ctao",)
    asked: int = 0

    async def find(self, caller: AttemptCaller, name: str) -> RequestedToken:
        self.asked += 1
        return RequestedToken(
            community="ctao", issuer=IAM, subject="alice", audience=STORAGE, scopes=self.scopes
        )


@dataclass
class PayloadWorld:
    """A central at which alice has logged in, and has jobs that ask for a token."""

    logins: LoginWorld
    service: PayloadTokens
    requested: FakeRequested
    banned: set[str] = field(default_factory=set[str])
    jobs: list[int] = field(default_factory=list[int])

    @property
    def provider(self) -> Any:
        return self.logins.provider

    @property
    def clock(self) -> Any:
        return self.logins.clock

    async def give(self, job: int = 1, epoch: int = 1) -> PayloadTokenReply:
        caller = AttemptCaller(job=job, epoch=epoch, attempt_id=job, community="ctao")
        return await self.service.give(caller, PayloadTokenRequest(job, epoch, "default"))

    async def refusal(self) -> Refused:
        with pytest.raises(Refused) as why:
            await self.give()
        return why.value

    async def sessions(self) -> list[session_rows.LoginSession]:
        store = self.logins.issuer.store
        return await store.read(session_rows.sessions, None, limit=10)

    async def with_jobs(self, count: int = 1) -> None:
        """Store jobs of alice that get tokens."""
        store = self.logins.issuer.store
        kind = await a_class(store, issuer=IAM, subject="alice")
        record = await submitted(store, kind, count, has_tokens=True)
        self.jobs = [first + i for first, many in record.ranges for i in range(many)]


@asynccontextmanager
async def payload_world() -> AsyncGenerator[PayloadWorld]:
    logins = await login_world()
    requested, banned = FakeRequested(), set[str]()
    requests = ClientRequests(logins.http, MetadataReader(logins.http, logins.clock))
    oauth = OAuth(requests, lambda _: "s/ecret")
    store, clock = logins.issuer.store, logins.clock

    async def gives_tokens(session: str) -> bool:
        return await store.read(session_rows.gives_tokens, session, clock.wall())

    async def newest_session(wanted: RequestedToken) -> str:
        person = wanted.community, wanted.issuer, wanted.subject
        rows = await store.read(session_rows.grants, *person, clock.wall(), limit=1)
        return rows[0].session if rows else ""

    service = PayloadTokens(
        requested=requested,
        sessions=logins.job_grants,
        oauth=oauth,
        clock=logins.clock,
        log=lambda event, **fields: logins.log.append((event, fields)),
        is_banned=lambda issuer, subject: subject in banned,
        gives_tokens=gives_tokens,
        newest_session=newest_session,
    )
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(service.run()), tasks.create_task(logins.all_sessions.run())]
        await settle()
        try:
            yield PayloadWorld(logins, service, requested, banned)
        finally:  # a failed test would wait for ever
            for one in running:
                one.cancel()


async def in_world(world: PayloadWorld) -> LoginTokens:
    tokens = await logged_in(world.logins)
    await world.with_jobs()
    return tokens


async def test_a_payload_gets_a_token_for_its_audience_and_scopes() -> None:
    async with payload_world() as world:
        await in_world(world)
        reply = await world.give()

        assert reply == PayloadTokenReply(f"for-{STORAGE}-1", 3600.0)
        assert world.provider.exchanges == [(STORAGE, "storage.read:/ctao")]


async def test_without_scopes_the_provider_chooses() -> None:
    async with payload_world() as world:
        await in_world(world)
        world.requested.scopes = ()
        await world.give()

        assert world.provider.exchanges == [(STORAGE, "")]


async def test_five_thousand_jobs_of_a_person_cost_one_refresh_and_one_exchange() -> None:
    async with payload_world() as world:
        await in_world(world)
        given = world.provider.tokens_given
        replies = await asyncio.gather(*(world.give(job) for job in range(1, 5_001)))

        assert len({reply.token for reply in replies}) == 1
        assert len(world.provider.exchanges) == 1
        assert world.provider.tokens_given == given + 1


async def test_a_token_is_given_until_half_of_its_life() -> None:
    async with payload_world() as world:
        await in_world(world)
        first = await world.give()
        world.clock.move(HALF_S - 1)
        same = await world.give()
        world.clock.move(2)
        later = await world.give()

        assert same.token == first.token and same.expires_in_s == pytest.approx(HALF_S + 1)
        assert later.token != first.token and later.expires_in_s == 3600.0


async def test_the_access_token_of_the_person_serves_several_audiences() -> None:
    async with payload_world() as world:
        await in_world(world)
        given = world.provider.tokens_given
        for scopes in (("a",), ("b",), ("c",)):
            world.requested.scopes = scopes
            await world.give()

        assert world.provider.tokens_given == given + 1
        assert len(world.provider.exchanges) == 3


async def test_each_refresh_token_is_stored_before_the_tokens_are_used() -> None:
    async with payload_world() as world:
        await in_world(world)
        for _ in range(5):
            await world.give()
            world.clock.move(3_600)

        assert not world.provider.ended, "a used refresh token would have ended the grant"


async def test_a_full_disk_loses_no_refresh_token(monkeypatch: pytest.MonkeyPatch) -> None:
    async with payload_world() as world:
        await in_world(world)
        store, write = world.logins.issuer.store, world.logins.issuer.store.write

        async def full(*_: object, **__: object) -> None:
            raise StoreFull("the disk is full")

        monkeypatch.setattr(store, "write", full)
        assert (await world.refusal()).code is Code.STORE_FULL
        monkeypatch.setattr(store, "write", write)
        await world.give()

        assert not world.provider.ended


async def test_a_token_endpoint_that_is_not_found_is_tried_again_later() -> None:
    async with payload_world() as world:
        await in_world(world)
        world.provider.away_as = NoEndpoint(f"{IAM}token: answered with status 404")
        why = await world.refusal()
        world.provider.away_as = None
        world.logins.clock.move(HALF_S)

        assert why.code is Code.UNAVAILABLE and "status 404" in why.message
        await world.give()
        assert not world.provider.ended


async def test_a_failed_write_is_refused_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with payload_world() as world:
        await in_world(world)
        store, write = world.logins.issuer.store, world.logins.issuer.store.write

        async def failed(*_: object, **__: object) -> None:
            raise StoreError("the value is out of range")

        monkeypatch.setattr(store, "write", failed)
        assert (await world.refusal()).code is Code.UNAVAILABLE
        monkeypatch.setattr(store, "write", write)
        await world.give()

        assert not world.provider.ended


async def test_what_is_too_wide_is_refused_with_the_words_of_the_provider() -> None:
    async with payload_world() as world:
        await in_world(world)
        world.requested.scopes = ("storage.modify:/",)
        why = await world.refusal()
        again = await world.refusal()

        assert why.code is Code.FORBIDDEN and "invalid_scope" in why.message
        assert "the subject_token has less" in why.message and why.field == ""
        assert again.message == why.message and len(world.provider.exchanges) == 1
        assert len(world.logins.events("payload_token_refused")) == 1
        world.clock.move(REFUSED_S)
        world.provider.wide = ()
        await world.give()


async def test_a_refusal_is_forgotten_when_its_owner_logs_in_again() -> None:
    async with payload_world() as world:
        await in_world(world)
        world.requested.scopes = ("storage.modify:/",)
        await world.refusal()
        world.provider.wide = ()
        await world.refusal()
        world.clock.move(1)
        await logged_in(world.logins)

        assert (await world.give()).token


async def test_a_provider_without_exchange_is_named() -> None:
    async with payload_world() as world:
        await in_world(world)
        await world.give()
        world.clock.move(HALF_S)
        world.provider.says = {"error": "unsupported_grant_type"}
        await world.refusal()  # the refresh is refused in the same way

        assert "unsupported_grant_type" in (await world.refusal()).message


async def test_an_odd_answer_about_one_person_is_no_outage_for_others() -> None:
    async with payload_world() as world:
        tokens = await in_world(world)
        world.provider.says = {"error": "interaction_required"}
        assert (await world.refusal()).code is Code.ILLEGAL_STATE
        world.provider.says, world.provider.claims["wlcg.groups"] = {}, []
        world.clock.move(CHECK_S)
        with pytest.raises(Refused, match="no longer gives you"):
            await world.logins.sessions.renew(tokens.renewal, "a" * 16)


async def test_an_outage_seen_by_jobs_is_logged_once() -> None:
    async with payload_world() as world:
        await in_world(world)
        world.provider.away = True
        for _ in range(100):
            await world.refusal()
            world.clock.move(job_grants.RETRY_S)

        assert len(world.logins.events("provider_away")) == 1


async def test_a_provider_that_is_away_means_later_and_is_not_asked_by_each_job() -> None:
    async with payload_world() as world:
        await in_world(world)
        world.provider.away = True
        asked = len(world.logins.http.requests)
        refusals = await asyncio.gather(
            *(world.give(job) for job in range(100)), return_exceptions=True
        )

        codes = {one.code for one in refusals if isinstance(one, Refused)}
        assert codes == {Code.UNAVAILABLE} and len(refusals) == 100
        assert len(world.logins.http.requests) - asked <= 2
        world.provider.away = False
        world.clock.move(max(AWAY_S, job_grants.RETRY_S))
        await world.give()
        (session,) = await world.sessions()
        assert session.ended_at is None, "an outage ends no session"


async def test_nobody_waits_long_for_a_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload_tokens, "ANSWER_S", 0.01)
    async with payload_world() as world:
        await in_world(world)
        answers, post = asyncio.Event(), world.logins.http.post

        async def slow(*given: Any, **how: Any) -> Any:
            await answers.wait()
            return await post(*given, **how)

        monkeypatch.setattr(world.logins.http, "post", slow)
        why = await world.refusal()
        assert why.code is Code.UNAVAILABLE and "has not answered" in why.message
        answers.set()
        await settle(50)
        asked = len(world.provider.exchanges)
        await world.give()

        assert asked == 1 and len(world.provider.exchanges) == 1


async def test_a_broken_store_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    async with payload_world() as world:
        await in_world(world)

        async def broken(*_: object, **__: object) -> None:
            raise DependencyUnavailable("no database")

        monkeypatch.setattr(world.logins.issuer.store, "read", broken)
        with pytest.raises(DependencyUnavailable):
            await world.give()


async def test_the_request_must_be_of_the_attempt_that_sends_it() -> None:
    async with payload_world() as world:
        await in_world(world)
        caller = AttemptCaller(job=1, epoch=1, attempt_id=1, community="ctao")
        for job, epoch in ((2, 1), (1, 2)):
            with pytest.raises(Refused, match="belongs to another token") as why:
                await world.service.give(caller, PayloadTokenRequest(job, epoch, "default"))
            assert why.value.code is Code.FORBIDDEN
        assert not world.requested.asked


async def test_a_banned_person_gets_no_token_even_if_one_is_known() -> None:
    async with payload_world() as world:
        await in_world(world)
        await world.give()
        world.banned.add("alice")
        why = await world.refusal()

        assert (why.code, why.message) == (Code.FORBIDDEN, "alice is banned here")


async def test_who_never_logged_in_is_told_to() -> None:
    async with payload_world() as world:
        why = await world.refusal()

        assert why.code is Code.ILLEGAL_STATE and "log in again" in why.message


async def test_the_newest_session_is_used_and_one_that_the_provider_ended_ends() -> None:
    async with payload_world() as world:
        await in_world(world)
        world.clock.move(1)
        await logged_in(world.logins)
        world.provider.valid.discard(world.provider.good)
        world.provider.is_strict = False
        await world.give()

        states = [one.ended_why for one in await world.sessions()]
        assert "iam ended it" in states[0] and states[1] == ""


async def test_no_token_is_in_the_log() -> None:
    async with payload_world() as world:
        await in_world(world)
        reply = await world.give()
        world.clock.move(3_600)
        world.requested.scopes = ("storage.modify:/",)
        await world.refusal()

        said = repr(world.logins.log)
        assert reply.token not in said and "opaque" not in said and world.provider.good not in said


# -- sessions that have ended ----------------------------------------------------------------------


async def test_jobs_get_tokens_after_their_owner_has_logged_out() -> None:
    async with payload_world() as world:
        tokens = await in_world(world)
        await world.logins.sessions.log_out(tokens.renewal)
        (session,) = await world.sessions()

        assert session.ended_why == "logged out" and session.refresh
        assert not world.provider.ended, "the grant was not revoked"
        for _ in range(3):
            await world.give()
            world.clock.move(3_600)
        with pytest.raises(Refused):
            await world.logins.sessions.renew(tokens.renewal, "a" * 16)
        (session,) = await world.sessions()
        assert session.refresh, "a late renewal with the valid secret is no replay"


async def test_without_such_jobs_a_logout_revokes_the_grant() -> None:
    async with payload_world() as world:
        tokens = await logged_in(world.logins)
        await world.logins.sessions.log_out(tokens.renewal)
        (session,) = await world.sessions()

        assert not session.refresh and world.provider.ended


async def test_a_session_that_its_person_ends_elsewhere_is_kept_too() -> None:
    async with payload_world() as world:
        await in_world(world)
        other = await logged_in(world.logins)
        sessions = await world.sessions()
        me = user(world.logins, other.token)
        for one in sessions:
            await world.logins.sessions.end(me, one.session)

        assert all(one.refresh for one in await world.sessions())


async def test_a_kept_grant_goes_with_the_last_job() -> None:
    async with payload_world() as world:
        tokens = await in_world(world)
        await world.logins.sessions.log_out(tokens.renewal)
        assert await world.logins.job_grants.drop_useless() == 0

        await end_all_jobs(world)
        assert await world.logins.job_grants.drop_useless() == 1
        (session,) = await world.sessions()
        assert not session.refresh and world.provider.ended
        assert await world.logins.job_grants.drop_useless() == 0
        assert (await world.refusal()).code is Code.ILLEGAL_STATE


@pytest.mark.parametrize("logs_out", [True, False])
async def test_jobs_outlive_the_time_of_their_owners_session(logs_out: bool) -> None:
    async with payload_world() as world:
        tokens = await in_world(world)
        if logs_out:
            await world.logins.sessions.log_out(tokens.renewal)
        world.clock.move(COMMAND_S)
        await world.give()
        assert await world.logins.job_grants.drop_useless() == 0

        await end_all_jobs(world)
        assert await world.logins.job_grants.drop_useless() == 1
        assert world.provider.ended, "the provider was told"


async def test_a_grant_for_jobs_is_kept_for_a_bounded_time() -> None:
    async with payload_world() as world:
        await in_world(world)
        world.clock.move(COMMAND_S + GRANT_KEPT_S)
        why = await world.refusal()

        assert why.code is Code.ILLEGAL_STATE
        assert await world.logins.job_grants.drop_useless() == 1


async def test_a_session_whose_time_is_over_gives_its_grant_back() -> None:
    async with payload_world() as world:
        tokens = await logged_in(world.logins)
        world.clock.move(COMMAND_S - 1)
        assert await world.logins.job_grants.drop_useless() == 0
        world.clock.move(1)
        assert await world.logins.job_grants.drop_useless() == 1
        (session,) = await world.sessions()

        assert not session.refresh and world.provider.ended
        with pytest.raises(Refused, match="time was over"):
            await world.logins.sessions.renew(tokens.renewal, "a" * 16)


async def test_a_grant_waits_for_a_provider_that_is_away_to_be_given_back() -> None:
    async with payload_world() as world:
        for _ in range(3):
            await logged_in(world.logins)
        world.clock.move(COMMAND_S)
        world.provider.away, asked = True, len(world.logins.http.requests)
        assert await world.logins.job_grants.drop_useless() == 0
        assert len(world.logins.http.requests) - asked <= 2, "one request shows the outage"

        world.provider.away = False
        world.clock.move(outages.RETRY_S)
        assert await world.logins.job_grants.drop_useless() == 3
        assert world.provider.ended


async def test_a_provider_that_never_comes_back_does_not_keep_a_grant_for_ever() -> None:
    async with payload_world() as world:
        await logged_in(world.logins)
        world.provider.away = True
        world.clock.move(COMMAND_S + GRANT_KEPT_S)
        assert await world.logins.job_grants.drop_useless() == 1
        assert world.logins.events("grant_not_revoked")


async def test_a_replay_ends_a_kept_grant() -> None:
    async with payload_world() as world:
        tokens = await in_world(world)
        first = tokens.renewal
        for nonce in ("a" * 16, "b" * 16):
            world.clock.move(TOLERATED_S)
            tokens = await world.logins.sessions.renew(tokens.renewal, nonce)
        await world.logins.sessions.log_out(tokens.renewal)
        with pytest.raises(Refused):
            await world.logins.sessions.renew(first, "thief" * 4)
        (session,) = await world.sessions()

        assert not session.refresh and world.provider.ended


async def test_the_provider_can_end_a_kept_grant() -> None:
    async with payload_world() as world:
        tokens = await in_world(world)
        await world.logins.sessions.log_out(tokens.renewal)
        world.provider.ended = True
        why = await world.refusal()
        (session,) = await world.sessions()

        assert why.code is Code.ILLEGAL_STATE and not session.refresh
        assert session.ended_why == "logged out"
        assert world.logins.events("grant_dropped")


async def test_the_end_of_all_sessions_of_a_person_ends_kept_grants() -> None:
    async with payload_world() as world:
        tokens = await in_world(world)
        await world.logins.sessions.log_out(tokens.renewal)
        await logged_in(world.logins)
        store = world.logins.issuer.store
        ended = await store.write(session_rows.end_all_of, IAM, "alice", 1.0, "banned")

        assert len(ended) == 1 and not any(one.refresh for one in await world.sessions())


async def test_a_kept_token_stays_after_a_logout_but_not_after_an_admin_ends_it() -> None:
    async with payload_world() as world:
        tokens = await in_world(world)
        first = await world.give()
        await world.logins.sessions.log_out(tokens.renewal)
        assert (await world.give()).token == first.token, "jobs may use it until they end"
        await world.logins.sessions.end(admin(world), tokens.session)
        why = await world.refusal()

        assert why.code is Code.ILLEGAL_STATE and "log in again" in why.message
        assert len(world.provider.exchanges) == 1


async def test_a_kept_token_ends_with_its_session_and_another_session_gives_the_next() -> None:
    async with payload_world() as world:
        world.provider.is_strict = False
        tokens = await in_world(world)
        first = await world.give()
        world.clock.move(1)
        await logged_in(world.logins)
        assert (await world.give()).token == first.token, "a further login changes nothing"
        await world.logins.sessions.end(admin(world), tokens.session)
        world.provider.ended = False  # the fake has one grant for all sessions
        second = await world.give()

        assert second.token != first.token and len(world.provider.exchanges) == 2


async def test_a_kept_token_is_gone_after_a_ban_that_was_lifted() -> None:
    async with payload_world() as world:
        await in_world(world)
        first = await world.give()
        store = world.logins.issuer.store
        await store.write(session_rows.end_all_of, IAM, "alice", 1.0, "banned")
        why = await world.refusal()
        await logged_in(world.logins)

        assert why.code is Code.ILLEGAL_STATE
        assert (await world.give()).token != first.token


async def test_a_kept_token_is_not_given_after_the_last_time_of_its_session() -> None:
    async with payload_world() as world:
        tokens = await in_world(world)
        world.clock.move(COMMAND_S + GRANT_KEPT_S - 10)
        await world.give()
        world.clock.move(11)
        why = await world.refusal()

        assert why.code is Code.ILLEGAL_STATE and tokens.session


@pytest.mark.parametrize("how", ["session", "ban"])
async def test_an_exchange_that_outlives_the_session_gives_no_token(
    monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    async with payload_world() as world:
        tokens = await in_world(world)
        answers, post = asyncio.Event(), world.logins.http.post

        async def slow(url: str, fields: Any, **given: Any) -> Any:
            if "subject_token" in fields:
                await answers.wait()
            return await post(url, fields, **given)

        monkeypatch.setattr(world.logins.http, "post", slow)
        async with asyncio.TaskGroup() as tasks:
            refused = tasks.create_task(world.refusal())
            await settle(50)
            if how == "ban":
                world.banned.add("alice")
            else:
                await world.logins.sessions.end(admin(world), tokens.session)
            answers.set()

        assert world.provider.exchanges
        expected = (Code.FORBIDDEN, "banned") if how == "ban" else (Code.UNAVAILABLE, "just ended")
        assert refused.result().code is expected[0] and expected[1] in refused.result().message
        if how == "session":
            assert (await world.refusal()).code is Code.ILLEGAL_STATE


def admin(world: PayloadWorld) -> User:
    return User(
        issuer="https://central.test",
        subject="olga",
        name="Olga",
        community="",
        groups=(),
        role=Role.ADMIN,
        expires_at=world.clock.wall() + 3_600.0,
        jti="j",
    )


async def end_all_jobs(world: PayloadWorld) -> None:
    """Kill the waiting jobs."""
    moves = [a_move(job, JobState.WAITING, JobState.KILLED) for job in world.jobs]
    assert all(await world.logins.issuer.store.write(job_records.move, moves))
