"""Sessions: renewals and replays, checks at the provider, outages, and ends."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from pilotage.central.errors import Refused
from pilotage.central.identity.bans import record as ban_records
from pilotage.central.identity.bans.record import NewBan
from pilotage.central.identity.callers import User
from pilotage.central.identity.errors import BadToken, Banned, LoginEnded
from pilotage.central.identity.providers.provider_files import GroupClaims, MapRow
from pilotage.central.identity.sessions import rows as session_rows
from pilotage.central.identity.sessions.cipher import TokenCipher
from pilotage.central.identity.sessions.confirmations import AWAY_MAX_S, CHECK_S, UNCHECKED_S
from pilotage.central.identity.sessions.grants import MISSING_S
from pilotage.central.identity.sessions.life import SHARED_MAX, TOLERATED_S
from pilotage.central.identity.sessions.outages import RETRY_S
from pilotage.central.identity.sessions.rows import LoginSession
from pilotage.central.identity.sessions.session_work import STOP_S
from pilotage.central.store.session import Session
from pilotage.proto.api.logins import (
    DeviceStart,
    LoginClaim,
    LoginState,
    LoginTokens,
)
from pilotage.proto.api.tokens import TokenIssue
from pilotage.proto.claims import Role
from pilotage.proto.problems import Code
from tests.contract.store.rows import email_of
from tests.fake_central import FakeRandomness, settle
from tests.unit.identity.issuer import ISSUER, make_issuer, person

from .login_world import FakeProviderHttp, LoginWorld, entry, login_world

HOUR_S = 3_600.0


async def logged_in(world: LoginWorld, **claim: object) -> LoginTokens:
    world.provider.is_confirmed = True
    started = await world.service.device.start(DeviceStart(host="laptop"), "192.0.2.7")
    poll = await world.service.device.poll(LoginClaim(login=started.login, **claim))  # type: ignore[arg-type]
    assert poll.state is LoginState.DONE and poll.tokens is not None
    return poll.tokens


def user(world: LoginWorld, token: str) -> User:
    caller = world.issuer.tokens.caller(token)
    assert isinstance(caller, User)
    return caller


async def test_the_token_names_the_person_of_the_provider() -> None:
    world = await login_world()
    tokens = await logged_in(world)
    caller = user(world, tokens.token)

    assert (caller.issuer, caller.subject) == ("https://iam.test/", "alice")
    assert (caller.community, caller.role, caller.groups) == ("ctao", Role.USER, ("prod",))
    assert caller.session == tokens.session
    assert 900 <= tokens.expires_in_s <= 3_600


async def test_no_name_of_a_session_looks_like_an_option_of_a_command() -> None:
    world = await login_world()
    names = []
    for _ in range(150):  # one of 64 random names begins with a hyphen
        names.append((await logged_in(world)).session)
        world.clock.move(60.0)

    assert not [one for one in names if one.startswith("-")]


async def test_a_renewal_gives_a_new_token_and_a_new_secret() -> None:
    world = await login_world()
    first = await logged_in(world)
    world.clock.move(1_500)
    second = await world.sessions.renew(first.renewal, "a" * 16)
    third = await world.sessions.renew(second.renewal, "b" * 16)

    assert len({first.renewal, second.renewal, third.renewal}) == 3
    assert user(world, third.token).subject == "alice"
    assert world.provider.tokens_given == 1, "the provider is asked once an hour, not each time"


async def test_a_lost_answer_logs_nobody_out() -> None:
    world = await login_world()
    first = await logged_in(world)
    lost = await world.sessions.renew(first.renewal, "a" * 16)
    world.clock.move(30 * HOUR_S)
    again = await world.sessions.renew(first.renewal, "a" * 16)

    assert again.renewal == lost.renewal
    world.provider.is_confirmed = True
    await world.sessions.renew(again.renewal, "b" * 16)


async def test_a_copied_secret_ends_the_session_for_both() -> None:
    world = await login_world()
    first = await logged_in(world)
    second = await world.sessions.renew(first.renewal, "a" * 16)
    world.clock.move(TOLERATED_S + 1)
    with pytest.raises(LoginEnded, match="used twice"):
        await world.sessions.renew(first.renewal, "thief" * 4)
    with pytest.raises(LoginEnded, match="used twice"):
        await world.sessions.renew(second.renewal, "b" * 16)
    with pytest.raises(BadToken):
        world.issuer.tokens.caller(second.token)
    assert world.events("renewal_replayed")


async def test_two_renewals_at_once_get_one_answer_and_a_later_copy_is_noticed() -> None:
    world = await login_world()
    first = await logged_in(world)
    one, other = await asyncio.gather(
        world.sessions.renew(first.renewal, "a" * 16), world.sessions.renew(first.renewal, "b" * 16)
    )
    assert one.renewal == other.renewal

    await world.sessions.renew(one.renewal, "c" * 16)
    world.clock.move(TOLERATED_S + 1)
    with pytest.raises(LoginEnded, match="used twice"):
        await world.sessions.renew(other.renewal, "d" * 16)


@pytest.mark.parametrize(
    "forged",
    [
        "",
        "ps1.",
        "ps1.x:pr1.1.abc",
        "ps1.{session}:pr1.1.forged",
        "ps1.{session}:{other}",
        "pr1.1.abc",
        "ps1.é:pr1.1.x",
    ],
)
async def test_a_forged_secret_is_refused_and_ends_nothing(forged: str) -> None:
    world = await login_world()
    tokens = await logged_in(world)
    later = await logged_in(world)
    other = later.renewal.partition(":")[2]
    with pytest.raises(BadToken):
        await world.sessions.renew(forged.format(session=tokens.session, other=other), "a" * 16)
    await world.sessions.renew(tokens.renewal, "b" * 16)


async def test_new_groups_arrive_and_a_lost_group_goes_within_the_check() -> None:
    world = await login_world()
    tokens = await logged_in(world)
    world.provider.claims["wlcg.groups"] = ["/ctao/prod", "/ctao/lst"]
    world.clock.move(CHECK_S)
    tokens = await world.sessions.renew(tokens.renewal, "a" * 16)
    assert tokens.groups == ("prod", "lst")

    world.provider.claims["wlcg.groups"] = ["/ctao/lst"]
    world.clock.move(CHECK_S)
    tokens = await world.sessions.renew(tokens.renewal, "b" * 16)
    assert user(world, tokens.token).groups == ("lst",)


async def test_who_has_left_the_community_is_logged_out() -> None:
    world = await login_world()
    tokens = await logged_in(world)
    world.provider.claims["wlcg.groups"] = ["/other"]
    world.clock.move(CHECK_S)
    with pytest.raises(LoginEnded, match="no longer gives you the role user in ctao"):
        await world.sessions.renew(tokens.renewal, "a" * 16)
    with pytest.raises(LoginEnded):
        await world.sessions.renew(tokens.renewal, "a" * 16)


async def test_an_admin_who_is_none_any_more_is_logged_out() -> None:
    world = await login_world()
    world.provider.claims["wlcg.groups"] = ["/ctao/admins", "/ctao/prod"]
    tokens = await logged_in(world, role=Role.ADMIN)
    assert user(world, tokens.token).role is Role.ADMIN
    world.provider.claims["wlcg.groups"] = ["/ctao/prod"]
    world.clock.move(CHECK_S)
    with pytest.raises(LoginEnded, match="role admin"):
        await world.sessions.renew(tokens.renewal, "a" * 16)


async def test_the_provider_can_end_a_session() -> None:
    world = await login_world()
    tokens = await logged_in(world)
    world.provider.ended = True
    world.clock.move(CHECK_S)
    with pytest.raises(LoginEnded, match="iam ended it"):
        await world.sessions.renew(tokens.renewal, "a" * 16)


async def test_an_outage_is_borne_for_28_hours_with_the_groups_last_seen() -> None:
    world = await login_world()
    tokens = await logged_in(world)
    world.provider.away = True
    for hour in range(1, 28):
        world.clock.move(HOUR_S)
        tokens = await world.sessions.renew(tokens.renewal, f"nonce {hour:12}")
        assert tokens.groups == ("prod",)
    world.clock.move(HOUR_S)
    with pytest.raises(LoginEnded, match="has not confirmed it for 28 hours"):
        await world.sessions.renew(tokens.renewal, "z" * 16)


@pytest.mark.parametrize(
    ("said", "hours"),
    [
        ({"error": "access_denied"}, 4),  # about this person
        ({"error": "invalid_request"}, 4),
        ({"error": "invalid_client"}, 28),  # about our client
        ({"error": "unauthorized_client"}, 28),
        ({"error": "unsupported_grant_type"}, 28),
        ({"error": "temporarily_unavailable"}, 28),
        ({"error": ""}, 28),  # about nobody
        ({"error": 400}, 28),
        ({"error": ["access_denied"]}, 28),
        ({"message": "blocked by the proxy"}, 28),
    ],
    ids=str,
)
async def test_a_provider_that_confirms_nobody_ends_a_session_in_time(
    said: dict[str, Any], hours: int
) -> None:
    world = await login_world()
    tokens = await logged_in(world)
    world.provider.says = said
    for hour in range(1, hours):
        world.clock.move(HOUR_S)
        tokens = await world.sessions.renew(tokens.renewal, f"nonce {hour:12}")
    world.clock.move(HOUR_S)
    with pytest.raises(LoginEnded, match=f"has not confirmed it for {hours} hours"):
        await world.sessions.renew(tokens.renewal, "z" * 16)


async def test_after_an_outage_the_provider_decides_again() -> None:
    world = await login_world()
    tokens = await logged_in(world)
    world.provider.away = True
    world.clock.move(AWAY_MAX_S - HOUR_S)
    tokens = await world.sessions.renew(tokens.renewal, "a" * 16)
    world.provider.away = False
    world.provider.claims["wlcg.groups"] = []
    world.clock.move(RETRY_S)
    with pytest.raises(LoginEnded, match="no longer gives you"):
        await world.sessions.renew(tokens.renewal, "b" * 16)


async def test_an_absent_provider_is_asked_every_five_minutes_only() -> None:
    world = await login_world()
    tokens = await logged_in(world)
    world.provider.away = True
    world.clock.move(CHECK_S)
    asked = len(world.http.requests)
    for number in range(20):
        tokens = await world.sessions.renew(tokens.renewal, f"nonce {number:12}")
    assert len(world.http.requests) - asked <= 2
    assert len(world.events("provider_away")) == 1


async def test_without_a_refresh_token_a_session_is_short() -> None:
    world = await login_world()
    world.provider.gives_refresh = False
    tokens = await logged_in(world)
    world.clock.move(UNCHECKED_S - 1)
    tokens = await world.sessions.renew(tokens.renewal, "a" * 16)
    assert tokens.expires_in_s <= 1
    world.clock.move(1)
    with pytest.raises(LoginEnded, match="time was over"):
        await world.sessions.renew(tokens.renewal, "b" * 16)


async def test_a_removed_file_ends_sessions_and_one_with_an_error_does_not() -> None:
    world = await login_world()
    tokens = await logged_in(world)
    book = world.providers.book
    world.clock.move(CHECK_S)
    world.providers.book = type(book)({}, {"iam": "identity/iam.yaml:3: map: is missing"})
    tokens = await world.sessions.renew(tokens.renewal, "a" * 16)
    world.providers.book = type(book)({})
    tokens = await world.sessions.renew(tokens.renewal, "b" * 16)
    world.clock.move(MISSING_S)
    with pytest.raises(LoginEnded, match="no longer log in here"):
        await world.sessions.renew(tokens.renewal, "c" * 16)


async def test_logging_out_ends_the_grant_and_the_tokens() -> None:
    world = await login_world()
    tokens = await logged_in(world)
    await world.sessions.log_out(tokens.renewal)
    await world.sessions.log_out(tokens.renewal)

    assert world.provider.ended
    with pytest.raises(BadToken):
        world.issuer.tokens.caller(tokens.token)
    with pytest.raises(LoginEnded, match="logged out"):
        await world.sessions.renew(tokens.renewal, "a" * 16)


async def test_a_new_login_replaces_the_one_before_it_and_keeps_a_shared_grant() -> None:
    world = await login_world()
    old, new = await logged_in(world), await logged_in(world)
    await world.sessions.log_out(old.renewal, new.renewal)

    assert not world.provider.ended, "the provider may have one grant for both"
    with pytest.raises(LoginEnded, match="a new login replaced it"):
        await world.sessions.renew(old.renewal, "a" * 16)
    assert (await world.sessions.renew(new.renewal, "a" * 16)).session == new.session
    for wrong in (new.renewal[:-1], new.renewal):
        with pytest.raises(BadToken):
            await world.sessions.log_out(new.renewal, wrong)


async def test_another_process_learns_that_a_session_has_ended() -> None:
    world = await login_world()
    tokens = await logged_in(world)
    issuer = world.issuer
    restarted = (
        await make_issuer(clock=issuer.clock, disk=issuer.disk, store=issuer.store, seed=2)
    ).tokens
    restarted.caller(tokens.token)
    await world.sessions.log_out(tokens.renewal)
    await restarted.load_revoked()
    with pytest.raises(BadToken):
        restarted.caller(tokens.token)


async def test_no_secret_of_the_provider_is_in_the_store() -> None:
    world = await login_world()
    tokens = await logged_in(world)
    row = await world.issuer.store.read(session_rows.session_of, tokens.session)
    assert row is not None and row.refresh and world.provider.good not in row.refresh
    kept = await world.issuer.store.read(email_of, row.issuer, row.subject)
    assert row.email == kept == "alice@example.org"
    moved = await logged_in(world)
    other = await world.issuer.store.read(session_rows.session_of, moved.session)
    assert other is not None and other.refresh != row.refresh


async def test_people_see_and_end_their_own_sessions_only() -> None:
    world = await login_world()
    tokens = await logged_in(world)
    alice, bob = user(world, tokens.token), person(subject="bob")
    alice = msgspec.structs.replace(alice, community="lst")  # her login in another community
    assert [one.session for one in (await world.sessions.list(alice)).sessions] == [tokens.session]
    assert not (await world.sessions.list(bob)).sessions
    with pytest.raises(Refused) as refused:
        await world.sessions.end(bob, tokens.session)
    assert refused.value.code is Code.NOT_FOUND
    await world.sessions.end(alice, tokens.session)
    with pytest.raises(LoginEnded, match="ended by alice"):
        await world.sessions.renew(tokens.renewal, "a" * 16)


async def test_an_admin_sees_all_sessions_page_by_page() -> None:
    world = await login_world()
    for _ in range(3):
        await logged_in(world)
        world.clock.move(1)
    admin = world.issuer.admin
    page = await world.sessions.list(admin, limit=2)
    assert len(page.sessions) == 2 and page.after is not None
    rest = await world.sessions.list(admin, after=page.after, limit=2)
    assert len(rest.sessions) == 1 and rest.after is None


@dataclass
class SlowAnswers:
    """A network whose provider has decided, but whose answers come when the test says so."""

    http: FakeProviderHttp
    asked: int = 0
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    arrive: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._post = self.http.post
        self.http.post = self.post  # type: ignore[method-assign]

    async def post(self, *given: Any, **options: Any) -> tuple[int, dict[str, Any]]:
        self.asked += 1
        found = await self._post(*given, **options)
        self.begun.set()
        await self.arrive.wait()
        return found


async def test_a_check_goes_on_if_its_caller_leaves() -> None:
    world = await login_world()
    tokens = await logged_in(world)
    world.clock.move(CHECK_S)
    slow = SlowAnswers(world.http)
    async with asyncio.TaskGroup() as tasks:
        loop = tasks.create_task(world.all_sessions.run())
        await settle()
        leaving = tasks.create_task(world.sessions.renew(tokens.renewal, "a" * 16))
        await slow.begun.wait()
        leaving.cancel()
        slow.arrive.set()
        await settle()
        world.clock.move(CHECK_S)
        again = await world.sessions.renew(tokens.renewal, "a" * 16)
        await world.sessions.renew(again.renewal, "b" * 16)  # by the refresh token of the check
        loop.cancel()
    assert not world.provider.ended


async def test_a_second_renewal_waits_for_a_check_whose_caller_has_left() -> None:
    world = await login_world()
    tokens = await logged_in(world)
    world.clock.move(CHECK_S)
    slow = SlowAnswers(world.http)
    async with asyncio.TaskGroup() as tasks:
        loop = tasks.create_task(world.all_sessions.run())
        await settle()
        leaving = tasks.create_task(world.sessions.renew(tokens.renewal, "a" * 16))
        await slow.begun.wait()
        leaving.cancel()
        await settle()
        second = tasks.create_task(world.sessions.renew(tokens.renewal, "a" * 16))
        await settle()
        asked = slow.asked
        slow.arrive.set()
        await second
        loop.cancel()

    assert (asked, slow.asked) == (1, 1), "a provider gives each refresh token once"
    assert not world.provider.ended


async def refusal_of(asking: Coroutine[Any, Any, object]) -> Code:
    with pytest.raises(Refused) as refused:
        await asking
    return refused.value.code


async def test_a_stop_waits_for_the_answer_of_a_slow_provider() -> None:
    world = await login_world()
    tokens = await logged_in(world)
    world.clock.move(CHECK_S)
    slow = SlowAnswers(world.http)
    async with asyncio.TaskGroup() as tasks:
        loop = tasks.create_task(world.all_sessions.run())
        await settle()
        renewing = tasks.create_task(world.sessions.renew(tokens.renewal, "a" * 16))
        await slow.begun.wait()
        loop.cancel()
        await settle()
        await world.clock.advance(STOP_S - 1)
        late = tasks.create_task(refusal_of(world.sessions.renew(tokens.renewal, "b" * 16)))
        await settle()
        assert late.done() and not loop.done()
        slow.arrive.set()
        await asyncio.wait([loop])
        row = await world.issuer.store.read(session_rows.session_of, tokens.session)

    assert late.result() is Code.UNAVAILABLE
    assert row is not None and row.checked_at == world.clock.wall()
    cipher = TokenCipher(world.issuer.tokens.cipher_key("test"), FakeRandomness())
    assert cipher.decrypt(row.refresh, row.session) == world.provider.good
    assert (await renewing).renewal != tokens.renewal


async def test_a_stop_does_not_wait_longer_than_its_limit() -> None:
    world = await login_world()
    tokens = await logged_in(world)
    world.clock.move(CHECK_S)
    slow = SlowAnswers(world.http)
    async with asyncio.TaskGroup() as tasks:
        loop = tasks.create_task(world.all_sessions.run())
        await settle()
        renewing = tasks.create_task(world.sessions.renew(tokens.renewal, "a" * 16))
        await slow.begun.wait()
        loop.cancel()
        await settle()
        await world.clock.advance(STOP_S - 0.5)
        early = loop.done()
        await world.clock.advance(1)

        assert not early and loop.done() and renewing.done()


async def test_a_removed_row_of_the_map_ends_sessions_too() -> None:
    world = await login_world()
    tokens = await logged_in(world)
    changed = entry(map=entry().map[2:])
    world.providers.book = type(world.providers.book)({"iam": changed})
    world.clock.move(CHECK_S)
    with pytest.raises(LoginEnded):
        await world.sessions.renew(tokens.renewal, "a" * 16)


async def test_an_address_that_is_not_verified_is_not_kept() -> None:
    world = await login_world()
    world.provider.claims["email_verified"] = False
    await logged_in(world)
    assert not await world.issuer.store.read(email_of, "https://iam.test/", "alice")


@pytest.mark.parametrize(("role", "outlives"), [(Role.ADMIN, True), (Role.MANAGER, False)])
async def test_only_an_admin_issues_tokens_that_outlive_a_session(
    role: Role, outlives: bool
) -> None:
    world = await login_world()
    world.providers.book = type(world.providers.book)(
        {"iam": entry(map=(MapRow(match="/ctao/{group}", community="ctao", role=role),))}
    )
    caller = user(world, (await logged_in(world)).token)
    wanted = TokenIssue(subject="robot-1", groups=("prod",), valid_s=86_400)
    issued = await world.issuer.tokens.issue(caller, wanted)
    robot = user(world, issued.token)
    assert robot.issuer == ISSUER, "a service account belongs to the local issuer"
    assert (robot.expires_at > caller.expires_at) is outlives


async def test_a_ban_ends_sessions_and_keeps_the_person_out() -> None:
    world = await login_world()
    tokens = await logged_in(world)
    ban = NewBan(
        issuer="https://iam.test/", subject="alice", who="oscar", reason="", at=world.clock.wall()
    )
    row, *_ = await world.issuer.tokens.bans.ban(ban)
    with pytest.raises(Banned):
        await world.sessions.renew(tokens.renewal, "a" * 16)
    with pytest.raises(Banned):
        await logged_in(world)
    with pytest.raises(Banned):
        world.issuer.tokens.caller(tokens.token)
    await world.issuer.tokens.bans.lift(row.ban_id, "oscar", world.clock.wall())
    await logged_in(world)


async def test_a_session_that_a_ban_ended_says_the_ban_first() -> None:
    world = await login_world()
    tokens = await logged_in(world)
    at = world.clock.wall()
    person = ("https://iam.test/", "alice")
    await world.issuer.store.write(session_rows.end_all_of, *person, at, "alice was banned")
    ban = NewBan(issuer=person[0], subject=person[1], who="oscar", reason="stolen laptop", at=at)
    row, *_ = await world.issuer.tokens.bans.ban(ban)

    with pytest.raises(Banned, match=r"\(stolen laptop\): ask 'oscar'"):
        await world.sessions.renew(tokens.renewal, "a" * 16)
    await world.issuer.tokens.bans.lift(row.ban_id, "oscar", at)
    with pytest.raises(LoginEnded, match="alice was banned; log in again"):
        await world.sessions.renew(tokens.renewal, "a" * 16)


async def test_a_provider_that_says_nothing_about_a_name_erases_none() -> None:
    world = await login_world()
    world.providers.book = type(world.providers.book)(
        {"iam": entry(groups=GroupClaims(claims=("wlcg.groups",), from_=("access_token",)))}
    )
    world.provider.in_access_token = True
    tokens = await logged_in(world)
    world.provider.gives_id_token = False
    world.clock.move(CHECK_S)
    tokens = await world.sessions.renew(tokens.renewal, "a" * 16)
    assert tokens.name == "Alice" and tokens.groups == ("prod",)
    kept = await world.issuer.store.read(email_of, "https://iam.test/", "alice")
    assert kept == "alice@example.org"


async def test_a_refresh_without_the_source_of_groups_takes_no_rights() -> None:
    """OpenID Connect Core 12.2: the answer to a refresh may have no ID token."""
    world = await login_world()
    world.providers.book = type(world.providers.book)(
        {"iam": entry(groups=GroupClaims(claims=("wlcg.groups",), from_=("id_token",)))}
    )
    tokens = await logged_in(world)
    world.provider.gives_id_token = False
    world.clock.move(CHECK_S)
    tokens = await world.sessions.renew(tokens.renewal, "a" * 16)

    assert tokens.groups == ("prod",)


async def test_a_login_during_a_ban_opens_no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await login_world()
    add, at = session_rows.add_session, world.clock.wall()
    new = NewBan(issuer="https://iam.test/", subject="alice", who="oscar", reason="", at=at)

    def add_and_ban(session: Session, row: LoginSession) -> None:
        ban_records.put_ban(session, new)
        add(session, row)

    monkeypatch.setattr(session_rows, "add_session", add_and_ban)
    with pytest.raises(Banned):
        await logged_in(world)
    (row,) = await world.issuer.store.read(session_rows.sessions, None, limit=10)

    assert row.ended_why == "alice was banned"


async def test_a_copy_that_keeps_step_ends_the_session() -> None:
    world = await login_world()
    mine = theirs = await logged_in(world)
    for number in range(SHARED_MAX):
        world.clock.move(1_500)
        mine = await world.sessions.renew(mine.renewal, f"mine {number:12}")
        world.clock.move(20)
        copied = f"theirs {number:12}"
        theirs = await world.sessions.renew(theirs.renewal, copied, address="192.0.2.66")
    world.clock.move(1_500)
    await world.sessions.renew(mine.renewal, "m" * 16)
    with pytest.raises(LoginEnded, match="used twice"):
        await world.sessions.renew(theirs.renewal, "t" * 16, address="192.0.2.66")

    assert [one["address"] for one in world.events("renewal_shared")] == ["192.0.2.66"] * 4
    assert world.events("renewal_replayed")


async def test_many_commands_that_start_at_once_share_one_renewal() -> None:
    world = await login_world()
    tokens = await logged_in(world)
    for hour in range(SHARED_MAX):
        world.clock.move(1_500)
        old = tokens.renewal
        all_tokens = [await world.sessions.renew(old, f"{hour} {one:14}") for one in range(16)]
        tokens = all_tokens[-1]

        assert {one.renewal for one in all_tokens} == {tokens.renewal}
    assert len(world.events("renewal_shared")) == SHARED_MAX


async def test_a_renewal_by_one_client_alone_begins_the_count_again() -> None:
    world = await login_world()
    tokens = await logged_in(world)
    for number in range(4 * SHARED_MAX):
        old = tokens.renewal
        tokens = await world.sessions.renew(old, f"one {number:13}")
        if number % (SHARED_MAX + 1):
            await world.sessions.renew(old, f"two {number:13}")
