"""Sessions of browsers: what is read when, and which pages may change something."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from pilotage.central.errors import Refused
from pilotage.central.identity.bans.record import NewBan
from pilotage.central.identity.errors import BadToken, Banned, LoginEnded
from pilotage.central.identity.logins.browser_flow import BrowserStart
from pilotage.central.identity.logins.browser_sessions import CACHED_S, UNKNOWN_S, BrowserSessions
from pilotage.central.identity.secret_hashes import hashed
from pilotage.central.identity.sessions import rows as session_rows
from pilotage.central.identity.sessions.browser_checks import AT_ONCE, BROWSERS_S
from pilotage.central.identity.sessions.confirmations import AWAY_MAX_S, CHECK_S
from pilotage.central.identity.sessions.life import BROWSER_IDLE_S, BROWSER_S
from pilotage.central.store.errors import StoreFull
from tests.fake_central import settle

from .login_world import IAM, FakeProviderHttp, LoginWorld, login_world, query_of
from .test_logins import back


def browsers(world: LoginWorld, url: str = "https://central.test") -> BrowserSessions:
    issuer = world.issuer
    return BrowserSessions(
        issuer.store,
        issuer.clock,
        url=lambda: url,
        is_ended=issuer.tokens.is_session_ended,
        bans=issuer.tokens.bans,
    )


async def cookie_of(world: LoginWorld, held: str = "", provider: str = "iam") -> str:
    """Log in with a browser that holds the cookie of an earlier session, or none."""
    departure = await world.service.browser.start(
        BrowserStart(to="/portal", provider=provider), "192.0.2.7"
    )
    query = query_of(departure.url)
    one = world.provider if provider == "iam" else world.other
    answer = back(query, iss=one.issuer)
    one.nonce = query["nonce"]
    return (await world.service.browser.arrive(provider, answer, departure.cookie, held)).cookie


async def test_a_cookie_is_read_once_and_names_the_person() -> None:
    world = await login_world()
    cookie, known = await cookie_of(world), browsers(world)
    assert known.find(cookie) is None
    await known.load(cookie)
    user = known.find(cookie)
    assert user is not None and (user.subject, user.groups) == ("alice", ("prod",))
    world.clock.move(CACHED_S)
    assert known.find(cookie) is None, "it is read again, as it may have ended elsewhere"


async def test_an_unknown_cookie_is_looked_up_once_in_some_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = await login_world()
    known, store = browsers(world), world.issuer.store
    reads, read = list[object](), store.read

    async def counted(verb: Any, *given: Any, **named: Any) -> Any:
        reads.append(given)
        return await read(verb, *given, **named)

    monkeypatch.setattr(store, "read", counted)
    for _ in range(100):
        with pytest.raises(BadToken):
            await known.load("guess")
    at_once = len(reads)
    world.clock.move(UNKNOWN_S)
    with pytest.raises(BadToken):
        await known.load("guess")

    assert (at_once, len(reads)) == (1, 2)


async def test_an_idle_session_ends_and_a_used_one_ends_after_a_day() -> None:
    world = await login_world()
    idle, used = await cookie_of(world), await cookie_of(world)
    known = browsers(world)
    for _ in range(int(BROWSER_S / BROWSER_IDLE_S * 2) - 1):
        world.clock.move(BROWSER_IDLE_S / 2)
        await known.load(used)
    with pytest.raises(LoginEnded, match="unused for too long"):
        await known.load(idle)
    world.clock.move(BROWSER_IDLE_S / 2)
    with pytest.raises(LoginEnded, match="too old"):
        await known.load(used)


async def test_a_browser_whose_session_a_ban_ended_says_the_ban() -> None:
    world = await login_world()
    cookie, known = await cookie_of(world), browsers(world)
    at, (issuer, subject) = world.clock.wall(), ("https://iam.test/", "alice")
    row = await world.issuer.store.read(session_rows.session_of_cookie, hashed(cookie))
    assert row is not None
    await world.issuer.store.write(session_rows.end, row.session, at, "alice was banned")
    world.issuer.tokens.session_ended(row.session)
    ban = NewBan(issuer=issuer, subject=subject, who="oscar", reason="stolen laptop", at=at)
    await world.issuer.tokens.bans.ban(ban)

    with pytest.raises(Banned, match="stolen laptop"):
        await known.load(cookie)


async def test_an_ended_session_is_refused_from_memory_too() -> None:
    world = await login_world()
    cookie, known = await cookie_of(world), browsers(world)
    await known.load(cookie)
    user = known.find(cookie)
    assert user is not None
    await world.sessions.end(user, user.session)
    with pytest.raises(BadToken):
        known.find(cookie)
    with pytest.raises(BadToken):
        await known.load(cookie)


async def test_a_new_login_ends_the_session_that_the_browser_had() -> None:
    world = await login_world()
    known = browsers(world)
    first, other = await cookie_of(world), await cookie_of(world)
    await known.load(first)
    second = await cookie_of(world, first)

    with pytest.raises(BadToken):
        known.find(first)
    with pytest.raises(BadToken):
        await known.load(first)
    for cookie in (second, other):
        await known.load(cookie)
    assert not world.provider.ended, "a provider may have one grant for both sessions"


async def test_a_new_person_at_a_browser_ends_the_grant_of_the_former() -> None:
    world = await login_world()
    first = await cookie_of(world)
    world.provider.claims["sub"] = "bob"
    second, known = await cookie_of(world, first), browsers(world)

    with pytest.raises(BadToken):
        await known.load(first)
    await known.load(second)
    assert world.provider.ended and not world.events("grant_not_revoked")


@pytest.mark.parametrize("held", ["", "nonsense"])
async def test_a_browser_without_a_session_ends_none(held: str) -> None:
    world = await login_world()
    other = await cookie_of(world)
    await cookie_of(world, held)

    await browsers(world).load(other)


async def test_the_provider_confirms_browsers_in_use_and_only_them() -> None:
    world = await login_world()
    cookie, known = await cookie_of(world), browsers(world)
    await cookie_of(world)  # another browser, which nobody uses
    given = world.provider.tokens_given
    async with asyncio.TaskGroup() as tasks:
        loop = tasks.create_task(world.all_sessions.run())
        await world.clock.advance(CHECK_S - 60)
        await known.load(cookie)
        world.provider.claims["wlcg.groups"] = []
        await world.clock.advance(60 + CHECK_S)
        loop.cancel()
    assert world.provider.tokens_given - given == 2
    with pytest.raises((BadToken, LoginEnded)):
        await known.load(cookie)


@dataclass
class OneSlowProvider:
    """A network in which the first provider does not answer until a test says so."""

    http: FakeProviderHttp
    slow: bool = False
    now: int = 0  # requests under way at the slow provider
    most: int = 0
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._post = self.http.post
        self.http.post = self.post  # type: ignore[method-assign]

    async def post(self, url: str, *given: Any, **options: Any) -> tuple[int, dict[str, Any]]:
        if self.slow and url.startswith(IAM):
            self.now += 1
            self.most = max(self.most, self.now)
            await self.answers.wait()
            self.now -= 1
        return await self._post(url, *given, **options)


async def test_a_slow_provider_does_not_delay_the_checks_of_others() -> None:
    world = await login_world(two=True)
    many = 3 * AT_ONCE
    for _ in range(many):
        await cookie_of(world)
    world.clock.move(1)
    await cookie_of(world, provider="other")
    network, given = OneSlowProvider(world.http, slow=True), world.other.tokens_given
    async with asyncio.TaskGroup() as tasks:
        loop = tasks.create_task(world.all_sessions.run())
        await settle()
        await world.clock.advance(CHECK_S + BROWSERS_S)
        confirmed = world.other.tokens_given - given
        await cookie_of(world, provider="other")
        await world.clock.advance(CHECK_S + BROWSERS_S)
        later = world.other.tokens_given - given
        network.answers.set()
        await settle(100)
        loop.cancel()

    assert (confirmed, network.most) == (1, AT_ONCE)
    assert later == 3, "another login, and its confirmation"
    assert world.provider.tokens_given == 2 * many


async def test_a_full_disk_ends_no_check(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await login_world()
    cookie = await cookie_of(world)
    store, write, given = world.issuer.store, world.issuer.store.write, world.provider.tokens_given

    async def full(*_: object, **__: object) -> None:
        raise StoreFull("the disk is full")

    async with asyncio.TaskGroup() as tasks:
        loop = tasks.create_task(world.all_sessions.run())
        await settle()
        await world.clock.advance(CHECK_S - BROWSERS_S)
        await browsers(world).load(cookie)
        monkeypatch.setattr(store, "write", full)
        await world.clock.advance(2 * BROWSERS_S)
        assert not loop.done() and world.events("loop_failed")
        monkeypatch.setattr(store, "write", write)
        await world.clock.advance(BROWSERS_S)
        loop.cancel()

    assert world.provider.tokens_given > given + 1 and not world.provider.ended


async def test_a_check_by_the_provider_is_no_use_of_a_session() -> None:
    world = await login_world()
    cookie, known = await cookie_of(world), browsers(world)
    async with asyncio.TaskGroup() as tasks:
        loop = tasks.create_task(world.all_sessions.run())
        await world.clock.advance(BROWSER_IDLE_S + 1)
        loop.cancel()
    with pytest.raises(LoginEnded, match="unused for too long"):
        await known.load(cookie)


async def test_a_session_that_nobody_confirms_is_refused_after_28_hours() -> None:
    world = await login_world()
    cookie, known = await cookie_of(world), browsers(world)
    row = await world.issuer.store.read(
        session_rows.browsers_in_use,
        world.clock.wall(),
        0.0,
        world.clock.wall(),
        "iam",
        limit=1,
    )
    assert row and AWAY_MAX_S > BROWSER_S, "a browser's day ends before an outage is too long"
    await known.load(cookie)


OURS = [
    ("https://central.test", "https://central.test"),
    ("https://central.test", "https://Central.test:443/"),
    ("https://central.test:8443", "https://central.test:8443"),
    ("http://localhost:8470", "http://127.0.0.1:8470"),
    ("http://[::1]:8470", "http://127.0.0.1:8470"),
]
OTHERS = [
    "",
    "null",
    "https://evil.test",
    "http://central.test",
    "https://central.test.evil.test",
    "https://central.test:8443",
    "https://central.test@evil.test",
    "https://user@central.test",
    "https://central.test/",
    "https://central.test/x",
    "https://central.test, https://central.test",
    "https://central.test:443",
    "HTTPS://CENTRAL.TEST",
    "//central.test",
    "https://",
    "https://[",
]


@pytest.mark.parametrize(("origin", "url"), OURS)
async def test_our_own_pages_may_change_something(origin: str, url: str) -> None:
    browsers(await login_world(), url).check_origin(origin, "1")


@pytest.mark.parametrize("origin", OTHERS)
async def test_pages_of_others_may_not(origin: str) -> None:
    with pytest.raises(Refused, match="only from a page of this central"):
        browsers(await login_world()).check_origin(origin, "1")


async def test_a_form_without_the_header_may_not() -> None:
    with pytest.raises(Refused):
        browsers(await login_world()).check_origin("https://central.test", "")


def test_the_rounds_are_shorter_than_the_time_of_a_check() -> None:
    assert BROWSERS_S < CHECK_S
