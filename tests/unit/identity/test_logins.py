"""Logins by device and by browser, and the attacks on them."""

import asyncio
import base64
import hashlib
from typing import Any

import pytest

from pilotage.central.errors import Refused
from pilotage.central.identity.logins.browser_flow import BrowserAnswer, BrowserStart
from pilotage.central.identity.logins.pending import LOGIN_S
from pilotage.central.identity.logins.start_limits import (
    AT_ONCE_MAX,
    MINUTE_S,
    OF_ALL_MAX,
    OF_ONE_ADDRESS_MAX,
)
from pilotage.central.identity.providers.provider_http import TooManyRequests
from pilotage.central.identity.sessions import rows as session_rows
from pilotage.central.identity.sessions.unused_grants import ROUND_S, TRIES_MAX, UnusedGrant
from pilotage.central.store.errors import StoreBroken, StoreError
from pilotage.proto.api.logins import CodeClaim, DeviceStart, LoginClaim, LoginState, Renewal
from pilotage.proto.claims import Role
from pilotage.proto.problems import Code
from tests.fake_central import settle

from .login_world import IAM, OTHER, URL, LoginWorld, login_world, query_of

VERIFIER = "v" * 48
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
)
LOOPBACK = "http://127.0.0.1:45871/callback"


async def begun(world: LoginWorld, **wanted: str) -> tuple[dict[str, str], str]:
    """Begin a login in a browser; return the provider's query and the cookie."""
    start = BrowserStart(
        **{"redirect_uri": LOOPBACK, "code_challenge": CHALLENGE, "state": "mine"} | wanted
    )
    departure = await world.service.browser.start(start, "192.0.2.7")
    query = query_of(departure.url)
    one = world.provider if departure.url.startswith(IAM) else world.other
    one.nonce = query["nonce"]
    return query, departure.cookie


def back(query: dict[str, str], **changed: str) -> BrowserAnswer:
    return BrowserAnswer(**{"state": query["state"], "code": "code", "iss": IAM} | changed)


async def refused(awaited: Any) -> Refused:
    with pytest.raises(Refused) as why:
        await awaited
    return why.value


async def test_a_device_login_waits_until_somebody_confirms_it() -> None:
    world = await login_world()
    started = await world.service.device.start(DeviceStart(host="x"), "192.0.2.7")
    assert started.user_code == "ABCD-EFGH" and started.provider == "iam"
    claim = LoginClaim(login=started.login)
    first = await world.service.device.poll(claim)
    assert first.state is LoginState.PENDING and 0 < first.interval_s <= 5

    world.provider.is_confirmed = True
    assert (await world.service.device.poll(claim)).state is LoginState.PENDING, (
        "not asked too early"
    )
    world.clock.move(first.interval_s)
    done = await world.service.device.poll(claim)
    again = await world.service.device.poll(claim)
    assert done.tokens is not None and again == done, "a lost answer is given again"
    assert world.provider.tokens_given == 1, "a device code is used once"


async def test_slow_down_makes_the_polls_slower() -> None:
    world = await login_world()
    started = await world.service.device.start(DeviceStart(host="x"), "192.0.2.7")
    world.provider.says = {"error": "slow_down"}
    claim = LoginClaim(login=started.login)
    await world.service.device.poll(claim)
    world.clock.move(5)
    later = await world.service.device.poll(claim)
    assert later.interval_s == pytest.approx(10)


@pytest.mark.parametrize(
    ("says", "code", "message"),
    [
        ({"error": "access_denied"}, Code.FORBIDDEN, "refused at iam: access_denied"),
        ({"error": "expired_token"}, Code.ILLEGAL_STATE, "begin again"),
        ({"error": "invalid_client"}, Code.ILLEGAL_STATE, "begin again"),
        ({}, Code.ILLEGAL_STATE, "begin again"),
    ],
)
async def test_a_refused_device_login_stays_refused(
    says: dict[str, Any], code: Code, message: str
) -> None:
    world = await login_world()
    started = await world.service.device.start(DeviceStart(host="x"), "192.0.2.7")
    world.provider.says = says or {"nothing": 1}
    claim = LoginClaim(login=started.login)
    why = await refused(world.service.device.poll(claim))
    assert why.code is code and message in why.message
    world.provider.says, world.provider.is_confirmed = {}, True
    world.clock.move(60)
    assert (await refused(world.service.device.poll(claim))).code is code


async def test_an_absent_provider_delays_a_login_and_does_not_end_it() -> None:
    world = await login_world()
    started = await world.service.device.start(DeviceStart(host="x"), "192.0.2.7")
    world.provider.away = True
    claim = LoginClaim(login=started.login)
    assert (await world.service.device.poll(claim)).state is LoginState.PENDING
    world.provider.away, world.provider.is_confirmed = False, True
    world.clock.move(5)
    assert (await world.service.device.poll(claim)).state is LoginState.DONE


async def test_a_login_cannot_begin_while_the_provider_is_away() -> None:
    world = await login_world()
    world.provider.away = True
    why = await refused(world.service.device.start(DeviceStart(host="x"), "192.0.2.7"))
    assert why.code is Code.UNAVAILABLE and "iam does not answer" in why.message


async def test_a_login_expires_and_a_guess_finds_nothing() -> None:
    world = await login_world()
    started = await world.service.device.start(DeviceStart(host="x"), "192.0.2.7")
    world.provider.is_confirmed = True
    world.clock.move(LOGIN_S)
    for guess in (started.login, "guess"):
        why = await refused(world.service.device.poll(LoginClaim(login=guess)))
        assert why.code is Code.NOT_FOUND


async def test_one_address_begins_few_logins_a_minute() -> None:
    world = await login_world()
    for _ in range(OF_ONE_ADDRESS_MAX):
        await world.service.device.start(DeviceStart(host="x"), "192.0.2.7")
    asked = len(world.http.requests)
    for start in (world.service.device.start(DeviceStart(host="x"), "192.0.2.7"), begun(world)):
        why = await refused(start)
        assert why.code is Code.TOO_MANY and "try again in" in why.message
    assert len(world.http.requests) == asked
    await world.service.device.start(DeviceStart(host="x"), "192.0.2.8")
    world.clock.move(MINUTE_S)
    await world.service.device.start(DeviceStart(host="x"), "192.0.2.7")


async def test_all_addresses_together_begin_a_bounded_number_of_logins() -> None:
    world = await login_world()
    for number in range(OF_ALL_MAX):
        await world.service.device.start(DeviceStart(host="x"), f"192.0.2.{number % 256}")
    why = await refused(world.service.device.start(DeviceStart(host="x"), "198.51.100.1"))
    assert why.code is Code.TOO_MANY


async def test_few_device_logins_begin_at_once() -> None:
    world = await login_world()
    world.provider.slow = asyncio.Event()
    start = DeviceStart(host="x")
    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE_MAX):
            tasks.create_task(world.service.device.start(start, "192.0.2.7"))
        await settle()
        why = await refused(world.service.device.start(start, "192.0.2.8"))
        world.provider.slow.set()
    assert why.code is Code.TOO_MANY and "try again in some seconds" in why.message
    assert (await world.service.device.start(start, "192.0.2.8")).login


async def test_a_provider_that_hangs_blocks_no_other() -> None:
    world = await login_world(two=True)
    world.provider.slow = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE_MAX):
            start = world.service.device.start(DeviceStart(host="x", provider="iam"), "192.0.2.7")
            tasks.create_task(start)
        await settle()
        other = DeviceStart(host="x", provider="other")
        assert (await world.service.device.start(other, "192.0.2.8")).login
        world.provider.slow.set()


async def test_hosts_of_one_network_begin_few_logins_a_minute_together() -> None:
    world = await login_world()
    start = DeviceStart(host="x")
    for number in range(OF_ONE_ADDRESS_MAX):
        await world.service.device.start(start, f"2001:db8::{number:x}")
    why = await refused(world.service.device.start(start, "2001:db8::ffff"))
    assert why.code is Code.TOO_MANY
    assert (await world.service.device.start(start, "2001:db8:0:1::1")).login


async def test_polls_beyond_the_limit_ask_nobody_and_lose_nothing() -> None:
    world = await login_world()
    start = DeviceStart(host="x")
    logins = [
        (await world.service.device.start(start, "192.0.2.7")).login for _ in range(AT_ONCE_MAX + 1)
    ]
    world.provider.slow, world.provider.is_confirmed = asyncio.Event(), True
    async with asyncio.TaskGroup() as tasks:
        for login in logins[1:]:
            tasks.create_task(world.service.device.poll(LoginClaim(login=login)))
        await settle()
        waiting = await world.service.device.poll(LoginClaim(login=logins[0]))
        world.provider.slow.set()
    world.clock.move(waiting.interval_s)
    done = await world.service.device.poll(LoginClaim(login=logins[0]))
    assert waiting.state is LoginState.PENDING and waiting.interval_s <= 1, "it stays due"
    assert done.state is LoginState.DONE


async def test_nobody_waits_for_an_earlier_poll_of_the_same_login() -> None:
    world = await login_world()
    started = await world.service.device.start(DeviceStart(host="x"), "192.0.2.7")
    world.provider.slow, world.provider.is_confirmed = asyncio.Event(), True
    claim = LoginClaim(login=started.login)
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(world.service.device.poll(claim))
        await settle()
        second = tasks.create_task(world.service.device.poll(claim))
        await settle()

        assert second.done() and not first.done()
        assert second.result().state is LoginState.PENDING
        assert 0 < second.result().interval_s <= 5
        world.provider.slow.set()
    assert first.result().state is LoginState.DONE


async def test_a_provider_without_device_flow_is_told_before_and_at_the_start() -> None:
    world = await login_world()
    world.provider.has_device_flow = False
    before = world.service.providers().providers
    assert [one.device for one in before] == [True], "nobody has asked the provider yet"
    assert world.http.requests == [], "the list asks nobody"
    why = await refused(world.service.device.start(DeviceStart(host="x"), "192.0.2.7"))
    assert why.code is Code.ILLEGAL_STATE and "pilotage login --browser" in why.message
    assert [one.device for one in world.service.providers().providers] == [False]


async def test_a_central_that_is_busy_itself_says_so() -> None:
    world = await login_world()
    world.provider.away_as = TooManyRequests("64 wait")
    why = await refused(world.service.device.start(DeviceStart(host="x"), "192.0.2.7"))
    assert why.code is Code.TOO_MANY and "try again in some seconds" in why.message


@pytest.mark.parametrize(
    "codes",
    [
        {"user_code": "AB\x1b[2J"},
        {"user_code": "AB\nopen https://evil.test"},
        {"user_code": "ABСD"},
        {"user_code": " "},
        {"user_code": "A" * 65},
        {"verification_uri": ""},
        {"verification_uri": "javascript:alert(1)"},
        {"verification_uri": "http://iam.test/device"},
        {"verification_uri": "https://iam.test/\x1b[2J"},
        {"verification_uri": "https://іam.test/device"},
        {"verification_uri_complete": "https://iam.test/device?c=A\nB"},
        {"verification_uri_complete": "file:///etc/passwd"},
        {"expires_in": 0},
        {"expires_in": -1},
        {"expires_in": "inf"},
        {"expires_in": "nan"},
        {"interval": -1},
        {"interval": "nan"},
        {"interval": "inf"},
        {"interval": 1e9},
    ],
)
async def test_codes_that_no_terminal_should_show_are_refused(codes: dict[str, Any]) -> None:
    world = await login_world()
    world.provider.codes = codes
    why = await refused(world.service.device.start(DeviceStart(host="x"), "192.0.2.7"))
    assert why.code is Code.ILLEGAL_STATE


@pytest.mark.parametrize("expires_in", [10**400, 1e300, "999999999999"])
async def test_codes_that_last_very_long_end_with_the_login(expires_in: Any) -> None:
    world = await login_world()
    world.provider.codes = {"expires_in": expires_in}
    started = await world.service.device.start(DeviceStart(host="x"), "192.0.2.7")
    assert started.expires_in_s == pytest.approx(LOGIN_S)


@pytest.mark.parametrize(
    ("expires_in", "is_good"),
    [(3_600, True), ("3600", True), (0, True), (10**400, True), ("inf", False), (-1, False)],
)
async def test_the_life_of_tokens_is_a_number_of_seconds(expires_in: Any, is_good: bool) -> None:
    world = await login_world()
    world.provider.is_confirmed, world.provider.expires_in = True, expires_in
    started = await world.service.device.start(DeviceStart(host="x"), "192.0.2.7")
    claim = world.service.device.poll(LoginClaim(login=started.login))
    if is_good:
        assert (await claim).tokens is not None
    else:
        assert (await refused(claim)).code is Code.ILLEGAL_STATE


async def test_claims_are_repeated_until_the_first_renewal() -> None:
    world = await login_world()
    query, cookie = await begun(world)
    code = query_of((await world.service.browser.arrive("iam", back(query), cookie)).url)["code"]
    claim = CodeClaim(code=code, verifier=VERIFIER)
    tokens = await world.service.browser.claim(claim)
    assert await world.service.browser.claim(claim) == tokens
    await world.service.renew(Renewal(renewal=tokens.renewal, nonce="n" * 16))
    assert (await refused(world.service.browser.claim(claim))).code is Code.NOT_FOUND


async def test_who_has_no_group_here_is_told_which_groups_were_seen() -> None:
    world = await login_world()
    world.provider.is_confirmed = True
    world.provider.claims["wlcg.groups"] = ["/atlas"]
    started = await world.service.device.start(DeviceStart(host="x"), "192.0.2.7")
    why = await refused(world.service.device.poll(LoginClaim(login=started.login)))
    assert why.code is Code.FORBIDDEN and "/atlas" in why.message
    await refused(world.service.device.poll(LoginClaim(login=started.login)))
    assert world.events("login_refused") == [
        {"person": "alice", "provider": "iam", "why": why.message}
    ], "once"


async def test_who_is_in_two_communities_chooses_and_loses_nothing() -> None:
    world = await login_world()
    world.provider.is_confirmed = True
    world.provider.claims["wlcg.groups"] = ["/ctao/prod", "/lst", "/ctao/admins"]
    started = await world.service.device.start(DeviceStart(host="x"), "192.0.2.7")
    why = await refused(world.service.device.poll(LoginClaim(login=started.login)))
    assert why.field == "community" and "ctao" in why.message and "lst" in why.message
    done = await world.service.device.poll(LoginClaim(login=started.login, community="ctao"))
    assert done.tokens is not None
    assert (done.tokens.role, done.tokens.groups) == (Role.USER, ("prod", "admins")), (
        "never the widest role"
    )


async def test_several_providers_must_be_named() -> None:
    world = await login_world(two=True)
    assert [one.name for one in world.service.providers().providers] == ["iam", "other"]
    why = await refused(world.service.device.start(DeviceStart(host="x"), "192.0.2.7"))
    assert why.field == "provider" and "iam, other" in why.message
    why = await refused(
        world.service.device.start(DeviceStart(host="x", provider="no"), "192.0.2.7")
    )
    assert "'no'" in why.message


async def test_a_browser_login_ends_at_the_command_that_began_it() -> None:
    world = await login_world()
    query, cookie = await begun(world)
    assert query["redirect_uri"] == f"{URL}/auth/callback/iam"
    assert query["code_challenge_method"] == "S256" and query["prompt"] == "consent"
    arrival = await world.service.browser.arrive("iam", back(query), cookie)
    assert arrival.url.startswith(LOOPBACK) and not arrival.cookie
    answer = query_of(arrival.url)
    assert answer["state"] == "mine"
    claim = CodeClaim(code=answer["code"], verifier=VERIFIER, host="laptop")
    tokens = await world.service.browser.claim(claim)
    assert tokens.subject == "alice" and await world.service.browser.claim(claim) == tokens


async def test_a_stolen_code_without_the_verifier_is_worth_nothing_and_is_burnt() -> None:
    world = await login_world()
    query, cookie = await begun(world)
    answer = query_of((await world.service.browser.arrive("iam", back(query), cookie)).url)
    why = await refused(
        world.service.browser.claim(CodeClaim(code=answer["code"], verifier="x" * 48))
    )
    assert why.code is Code.FORBIDDEN
    why = await refused(
        world.service.browser.claim(CodeClaim(code=answer["code"], verifier=VERIFIER))
    )
    assert why.code is Code.NOT_FOUND


async def test_the_handle_of_a_login_is_no_code() -> None:
    world = await login_world()
    started = await world.service.device.start(DeviceStart(host="x"), "192.0.2.7")
    why = await refused(
        world.service.browser.claim(CodeClaim(code=started.login, verifier=VERIFIER))
    )
    assert why.code is Code.FORBIDDEN


async def test_an_answer_of_another_provider_is_refused() -> None:
    world = await login_world(two=True)
    query, cookie = await begun(world, provider="iam")
    arrival = await world.service.browser.arrive("iam", back(query, iss=OTHER), cookie)
    assert "another identity provider" in query_of(arrival.url)["error_description"]
    query, cookie = await begun(world, provider="iam")
    arrival = await world.service.browser.arrive("iam", back(query, iss=""), cookie)
    assert "error" in query_of(arrival.url), "a provider that tells its name must tell it"
    assert world.provider.tokens_given == world.other.tokens_given == 0, "the code went nowhere"


async def test_an_answer_counts_once_and_only_in_its_own_browser() -> None:
    world = await login_world()
    query, cookie = await begun(world)
    await world.service.browser.arrive("iam", back(query), cookie)
    assert (
        await refused(world.service.browser.arrive("iam", back(query), cookie))
    ).field == "state"

    query, cookie = await begun(world)
    why = await refused(world.service.browser.arrive("iam", back(query), "another browser"))
    assert why.code is Code.FORBIDDEN and "another browser" in why.message
    assert (
        await refused(world.service.browser.arrive("iam", back(query), cookie))
    ).code is Code.ILLEGAL_STATE
    assert (
        await refused(world.service.browser.arrive("iam", back(query, state="x"), cookie))
    ).field == "state"


async def test_a_token_for_another_login_is_refused() -> None:
    world = await login_world()
    query, cookie = await begun(world)
    world.provider.nonce = "of another login"
    arrival = await world.service.browser.arrive("iam", back(query), cookie)
    assert "error" in query_of(arrival.url)


@pytest.mark.parametrize(
    "redirect",
    [
        "https://evil.test/",
        "http://127.0.0.1.evil.test:80/x",
        "http://127.0.0.1:80@evil.test/x",
        "http://localhost:80/x",
        "http://127.0.0.1/x",
        "javascript:alert(1)",
        "http://127.0.0.1:80/x?y=z",
        "http://127.0.0.1:80/x\r\nset-cookie: a",
    ],
)
async def test_codes_go_to_this_machine_only(redirect: str) -> None:
    world = await login_world()
    start = BrowserStart(redirect_uri=redirect, code_challenge=CHALLENGE)
    why = await refused(world.service.browser.start(start, "192.0.2.7"))
    assert why.field == "redirect_uri"


@pytest.mark.parametrize(
    "to", ["https://evil.test/", "//evil.test", "/\\evil.test", "portal", "", "/a b", "/\t/evil"]
)
async def test_after_a_login_a_browser_stays_here(to: str) -> None:
    world = await login_world()
    why = await refused(world.service.browser.start(BrowserStart(to=to), "192.0.2.7"))
    assert why.field == "to"


async def test_a_login_for_the_portal_sets_a_new_cookie() -> None:
    world = await login_world()
    query, cookie = await begun(world, redirect_uri="", to="/jobs?state=Failed")
    arrival = await world.service.browser.arrive("iam", back(query), cookie)
    assert arrival.url == "/jobs?state=Failed"
    assert len(arrival.cookie) >= 43 and arrival.cookie != cookie


async def test_no_challenge_no_login_for_a_command() -> None:
    world = await login_world()
    start = BrowserStart(redirect_uri=LOOPBACK, code_challenge="plain")
    assert (await refused(world.service.browser.start(start, ""))).field == "code_challenge"


async def test_a_person_who_says_no_is_no_error_of_the_central() -> None:
    world = await login_world()
    query, cookie = await begun(world)
    answer = back(query, code="", error="access_denied", error_description="no <b>thanks</b>")
    said = query_of((await world.service.browser.arrive("iam", answer, cookie)).url)
    assert said["error"] == "access_denied" and "code" not in said


@pytest.mark.parametrize(
    ("url", "is_good"),
    [
        ("https://central.test", True),
        ("http://127.0.0.1:8470", True),
        ("http://localhost:8470", True),
        ("http://central.test:8470", False),
    ],
)
async def test_cookies_do_not_cross_a_network_in_clear(url: str, is_good: bool) -> None:
    world = await login_world(url=url)
    start = world.service.browser.start(BrowserStart(to="/portal"), "192.0.2.7")
    if is_good:
        assert (await start).cookie
    else:
        assert "need https" in (await refused(start)).message


async def test_the_code_of_a_browser_login_is_no_handle_of_a_device_login() -> None:
    world = await login_world()
    query, cookie = await begun(world)
    code = query_of((await world.service.browser.arrive("iam", back(query), cookie)).url)["code"]
    for _ in range(2):
        why = await refused(world.service.device.poll(LoginClaim(login=code)))
        assert why.code is Code.NOT_FOUND
        await world.service.browser.claim(CodeClaim(code=code, verifier=VERIFIER))


async def test_an_answer_at_the_address_of_another_provider_is_refused() -> None:
    """A provider that does not tell its name is known by the address that it answers at."""
    world = await login_world(two=True)
    query, cookie = await begun(world, provider="iam")
    why = await refused(world.service.browser.arrive("other", back(query, iss=""), cookie))
    assert why.code is Code.FORBIDDEN
    assert world.provider.tokens_given == world.other.tokens_given == 0, "the code went nowhere"


async def test_a_client_that_leaves_during_the_exchange_loses_no_login() -> None:
    world = await login_world()
    started = await world.service.device.start(DeviceStart(host="x"), "192.0.2.7")
    world.provider.slow, world.provider.is_confirmed = asyncio.Event(), True
    claim = LoginClaim(login=started.login)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(world.all_sessions.work.run())
        await settle()
        leaving = tasks.create_task(world.service.device.poll(claim))
        await settle()
        leaving.cancel()
        await settle()
        world.provider.slow.set()
        await asyncio.sleep(0.05)  # the session is stored in a thread
        done = await world.service.device.poll(claim)
        running.cancel()

    assert done.state is LoginState.DONE and done.tokens is not None
    assert world.provider.tokens_given == 1


async def refused_for_its_groups(world: LoginWorld) -> None:
    world.provider.is_confirmed = True
    world.provider.claims["wlcg.groups"] = ["/atlas"]
    started = await world.service.device.start(DeviceStart(host="x"), "192.0.2.7")
    assert (await refused(world.service.device.poll(LoginClaim(login=started.login)))).code is (
        Code.FORBIDDEN
    )


async def swept(world: LoginWorld, rounds: int = 1) -> None:
    """Let the loops of logins drop what is over, and give unused tokens back."""
    async with asyncio.TaskGroup() as tasks:
        loop = tasks.create_task(world.service.run())
        await settle()
        await world.clock.advance(LOGIN_S)
        loop.cancel()
    for _ in range(rounds):
        await world.all_sessions.unused.give_back()


def revocations(world: LoginWorld) -> int:
    return sum(one.endswith("/revoke") for one in world.http.requests)


async def test_the_provider_gets_the_token_of_a_refused_login_back() -> None:
    world = await login_world()
    await refused_for_its_groups(world)
    assert revocations(world) == 0, "the person may still choose another community"

    await swept(world, rounds=2)

    assert world.provider.ended and revocations(world) == 1, "once"


async def test_an_unused_token_waits_for_a_provider_that_is_away() -> None:
    world = await login_world()
    await refused_for_its_groups(world)
    world.provider.away = True
    await swept(world, rounds=3)
    world.provider.away = False
    await world.all_sessions.unused.give_back()

    assert world.provider.ended and world.events("grant_not_revoked") == []


async def test_an_unused_token_is_forgotten_after_some_tries() -> None:
    world = await login_world()
    await refused_for_its_groups(world)
    world.provider.away = True
    await swept(world, rounds=TRIES_MAX + 3)

    assert len(world.events("grant_not_revoked")) == 1


async def test_an_unused_token_outlives_a_failure_of_the_store() -> None:
    world = await login_world()
    await refused_for_its_groups(world)

    async def fails(plain: Any, *given: Any) -> bool:
        raise StoreError("the disk has an error")

    ways = world.issuer.store.ways
    ways[session_rows.has_grant] = fails
    await swept(world)
    early = revocations(world)
    del ways[session_rows.has_grant]
    await world.all_sessions.unused.give_back()

    assert (early, revocations(world)) == (0, 1)
    assert [one["loop"] for one in world.events("loop_failed")] == ["unused refresh tokens"]


async def test_a_store_that_is_broken_ends_the_process() -> None:
    world = await login_world()
    await refused_for_its_groups(world)

    async def fails(plain: Any, *given: Any) -> bool:
        raise StoreBroken("a write failed")

    world.issuer.store.ways[session_rows.has_grant] = fails
    with pytest.raises(StoreBroken):
        await swept(world)


async def test_a_provider_that_is_away_is_asked_to_take_one_token_back_each_round() -> None:
    world = await login_world(two=True)
    unused = world.all_sessions.unused
    for number in range(5):
        for name, issuer in (("iam", IAM), ("other", OTHER)):
            unused.add(
                UnusedGrant(provider=name, issuer=issuer, subject="eve", refresh=f"t{number}")
            )
    world.provider.away = True
    await unused.give_back()
    asked = [one.removesuffix("revoke") for one in world.http.requests if one[-6:] == "revoke"]
    tried = sum(one.startswith(IAM) for one in world.http.requests)
    world.provider.away = False
    world.clock.move(ROUND_S)
    await unused.give_back()

    assert (asked, tried) == ([OTHER] * 5, 1)
    assert sum(one == f"{IAM}revoke" for one in world.http.requests) == 5


async def test_a_refused_login_ends_no_grant_that_a_session_needs() -> None:
    """A provider may have one grant for all logins of a person."""
    world = await login_world()
    world.provider.is_confirmed = True
    started = await world.service.device.start(DeviceStart(host="x"), "192.0.2.7")
    assert (await world.service.device.poll(LoginClaim(login=started.login))).tokens is not None
    await refused_for_its_groups(world)

    await swept(world)

    assert not world.provider.ended and revocations(world) == 0


async def test_a_login_of_an_unknown_person_ends_no_grant_that_a_session_needs() -> None:
    """The provider gave a refresh token, but not who the person is."""
    world = await login_world()
    world.provider.is_confirmed = True
    started = await world.service.device.start(DeviceStart(host="x"), "192.0.2.7")
    assert (await world.service.device.poll(LoginClaim(login=started.login))).tokens is not None
    world.provider.gives_id_token = False
    started = await world.service.device.start(DeviceStart(host="x"), "192.0.2.7")
    await refused(world.service.device.poll(LoginClaim(login=started.login)))

    await swept(world)

    assert world.provider.tokens_given == 2
    assert not world.provider.ended and revocations(world) == 0


async def test_the_token_of_an_open_session_is_not_given_back() -> None:
    world = await login_world()
    query, cookie = await begun(world)
    code = query_of((await world.service.browser.arrive("iam", back(query), cookie)).url)["code"]
    await world.service.browser.claim(CodeClaim(code=code, verifier=VERIFIER))

    await swept(world)

    assert not world.provider.ended
