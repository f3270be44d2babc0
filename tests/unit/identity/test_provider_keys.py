"""Keys of providers over days: outages, withdrawn and new keys, unknown ones, on a fake clock."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from pilotage.central.identity.callers import User
from pilotage.central.identity.errors import BadToken, KeysNeeded
from pilotage.central.identity.providers.metadata import SOON_S
from pilotage.central.identity.providers.provider_files import ProviderBook
from pilotage.central.identity.providers.provider_http import TooManyRequests
from pilotage.central.identity.providers.provider_keys import LOOK_S, ONCE_IN_S, WAITING_MAX
from pilotage.central.identity.strict_tokens import parse
from tests.fake_central import settle

from .fake_provider import EC_KID, FakeHttp, FakeProvider, Outside, ec_key, public
from .forgeries import Maker
from .profiles import AUDIENCE, ISSUER, an_entry, row

HOUR_S = 3_600.0
OTHER = "https://other.test"
ROWS = (row("/ctao", groups=("prod",)),)


def two_providers() -> Outside:
    return Outside(an_entry(*ROWS), an_entry(*ROWS, issuer=OTHER))


def one_provider() -> Outside:
    return Outside(an_entry(*ROWS))


@asynccontextmanager
async def running(world: Outside) -> AsyncGenerator[None]:
    """Keep the loop of the keys running."""
    async with asyncio.TaskGroup() as tasks:
        loop = tasks.create_task(world.keys.run())
        await settle()
        yield
        loop.cancel()


def token(world: Outside, kid: str = EC_KID, issuer: str = ISSUER) -> str:
    """Return a fresh token that the provider signed with this key."""
    return Maker(
        issuer=issuer,
        audience=AUDIENCE,
        now=int(world.clock.wall()),
        key=ec_key(kid),
        kid=kid,
        usual={"wlcg.groups": ["/ctao"]},
    ).token()


def is_taken(world: Outside, kid: str = EC_KID, issuer: str = ISSUER) -> bool:
    """Return whether a fresh token is taken without waiting for a provider."""
    try:
        world.tokens.caller(parse(token(world, kid, issuer)), world.clock.wall())
    except BadToken:
        return False
    return True


async def test_tokens_verify_while_the_provider_is_away_for_28_hours_but_not_for_56() -> None:
    world = one_provider()
    async with running(world):
        before = is_taken(world)
        world.all[0].away = True
        await world.clock.advance(28 * HOUR_S)
        after_28 = is_taken(world)
        await world.clock.advance(28 * HOUR_S)
        after_56 = is_taken(world)
        world.all[0].away = False
        await world.clock.advance(340)

        assert (before, after_28, after_56, is_taken(world)) == (True, True, False, True)


async def test_keys_are_kept_for_48_hours_from_the_last_success() -> None:
    world = one_provider()
    await world.keys.refresh(ISSUER)
    world.clock.move(48 * HOUR_S)
    before = is_taken(world)
    world.clock.move(1)

    assert (before, is_taken(world)) == (True, False)


async def test_a_withdrawn_key_is_refused_within_six_hours() -> None:
    world = one_provider()
    world.all[0].jwks.append(public(ec_key("old"), "old"))
    async with running(world):
        for _ in range(5):  # the pauses differ by chance
            world.all[0].jwks.append(public(ec_key("old"), "old"))
            await world.clock.advance(6 * HOUR_S)
            before = is_taken(world, "old")
            del world.all[0].jwks[3:]
            await world.clock.advance(6 * HOUR_S - 60)  # a verified token is cached for a minute

            assert (before, is_taken(world, "old"), is_taken(world)) == (True, False, True)


async def test_keys_are_fetched_every_five_hours_or_so() -> None:
    world = one_provider()
    async with running(world):
        await world.clock.advance(40 * HOUR_S)

    fetched = world.all[0].asked.count(world.all[0].keys_at)
    assert 40 / 5.7 < fetched < 40 / 5 + 2
    assert world.all[0].asked.count(world.all[0].metadata_at) == fetched


async def test_the_central_starts_without_any_provider() -> None:
    world = two_providers()
    world.all[0].away = world.all[1].away = True
    async with running(world):
        await world.clock.advance(HOUR_S)
        before = is_taken(world)
        world.all[0].away = False
        await world.clock.advance(340)

        assert (before, is_taken(world), is_taken(world, issuer=OTHER)) == (False, True, False)


async def test_a_slow_provider_holds_up_no_other() -> None:
    world = two_providers()
    world.all[0].slow = asyncio.Event()
    async with running(world):
        assert (is_taken(world), is_taken(world, issuer=OTHER)) == (False, True)


async def test_a_new_key_is_looked_for_at_once() -> None:
    world = one_provider()
    await world.keys.refresh(ISSUER)
    world.clock.move(60)
    world.all[0].jwks.append(public(ec_key("new"), "new"))
    world.http.asked.clear()
    caller = await world.caller(parse(token(world, "new")))

    assert isinstance(caller, User)
    assert world.http.asked == [world.all[0].keys_at]  # the metadata is known already


async def test_a_thousand_unknown_keys_cause_one_fetch_a_minute() -> None:
    world = one_provider()
    await world.keys.refresh(ISSUER)
    world.clock.move(60)
    world.http.asked.clear()

    async def ask(number: int) -> None:
        with suppress(BadToken):
            await world.caller(parse(token(world, f"unknown{number % 7}")))

    async with asyncio.TaskGroup() as tasks:
        for number in range(1_000):
            tasks.create_task(ask(number))
    at_once = len(world.http.asked)
    for number in range(1_000):  # ten a second
        world.clock.move(0.1)
        await ask(number)

    assert at_once == 1
    assert len(world.http.asked) == 1 + 1  # 100 s later


async def test_few_requests_wait_for_the_keys_of_a_slow_provider() -> None:
    world = one_provider()
    world.all[0].slow = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        waiting = [
            tasks.create_task(world.caller(parse(token(world)))) for _ in range(WAITING_MAX + 1)
        ]
        await settle()
        with pytest.raises(BadToken) as why:
            await world.caller(parse(token(world)))
        login = tasks.create_task(world.keys.refresh(ISSUER, at_once=True))
        await settle()
        still = [one.done() for one in (*waiting, login)]
        world.all[0].slow.set()

    assert type(why.value) is BadToken
    assert not any(still), "a login waits with them"
    assert all(isinstance(one.result(), User) for one in waiting)
    assert await world.caller(parse(token(world)))


async def test_a_request_that_gives_up_does_not_delay_the_next_fetch() -> None:
    world = one_provider()
    world.all[0].slow = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        request = tasks.create_task(world.keys.refresh(ISSUER))
        await settle()
        request.cancel()
    world.all[0].slow = None
    async with running(world):
        await world.clock.advance(ONCE_IN_S + LOOK_S)

        assert is_taken(world)


async def test_a_request_that_was_not_sent_is_no_try(monkeypatch: pytest.MonkeyPatch) -> None:
    world = one_provider()

    async def busy(url: str, **_: object) -> dict[str, Any]:
        raise TooManyRequests("busy")

    with monkeypatch.context() as patch:
        patch.setattr(world.http, "get", busy)
        await world.keys.refresh(ISSUER)
    world.clock.move(SOON_S)

    assert world.keys.may_refresh(ISSUER) and not world.events
    assert isinstance(await world.caller(parse(token(world))), User)


async def test_a_fetch_is_shared_by_those_who_come_meanwhile() -> None:
    world = one_provider()
    world.all[0].slow = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        callers = [tasks.create_task(world.caller(parse(token(world)))) for _ in range(10)]
        await settle()
        asked = list(world.http.asked)
        world.all[0].slow.set()

    assert asked == [world.all[0].metadata_at]
    assert world.http.asked == [world.all[0].metadata_at, world.all[0].keys_at]
    assert all(isinstance(one.result(), User) for one in callers)


async def test_a_caller_who_goes_away_leaves_nobody_waiting() -> None:
    world = one_provider()
    world.all[0].slow = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(world.keys.refresh(ISSUER))
        await settle()
        second = tasks.create_task(world.keys.refresh(ISSUER))
        await settle()
        first.cancel()
        await settle()

        assert second.done()
    world.all[0].slow.set()
    world.clock.move(60)
    await world.keys.refresh(ISSUER)
    assert is_taken(world)


async def test_keys_are_needed_only_if_a_fetch_may_help() -> None:
    world = one_provider()
    with pytest.raises(KeysNeeded) as first:
        world.tokens.caller(parse(token(world)), world.clock.wall())
    await world.keys.refresh(ISSUER)
    with pytest.raises(BadToken) as second:
        world.tokens.caller(parse(token(world, "new")), world.clock.wall())

    assert first.value.issuer == ISSUER
    assert type(second.value) is BadToken
    assert str(first.value) == str(second.value)


async def test_a_provider_without_a_file_is_never_asked_and_is_forgotten() -> None:
    world = one_provider()
    async with running(world):
        await world.keys.refresh("https://evil.test")
        world.providers.book = ProviderBook()
        await world.clock.advance(60)
        asked = len(world.http.asked)
        await world.clock.advance(24 * HOUR_S)

    assert world.keys.find(ISSUER, EC_KID) is None
    assert not world.keys.may_refresh(ISSUER)
    assert (asked, len(world.http.asked)) == (2, 2)


#    metadata                                              words of the log
METADATA: list[tuple[dict[str, Any], str]] = [
    ({"issuer": "https://iam.test"}, "its metadata names the issuer 'https://iam.test': both"),
    ({"issuer": None}, "its metadata: Expected `str`, got `null` - at `$.issuer`"),
    ({"jwks_uri": None}, "got `null` - at `$.jwks_uri`"),
    ({"jwks_uri": ["https://iam.test/jwk"]}, "got `array` - at `$.jwks_uri`"),
    ({"jwks_uri": "http://iam.test/jwk"}, "jwks_uri in its metadata: 'http://iam.test/jwk' is not"),
    ({"jwks_uri": "http://127.0.0.1:6379/"}, "is not https, as its issuer is"),
    ({"jwks_uri": "file:///etc/passwd"}, "jwks_uri in its metadata: 'file:///etc/passwd': expec"),
    ({"jwks_uri": "https://iam.test/none"}, "https://iam.test/none: 404"),
]


@pytest.mark.parametrize(("changed", "why"), METADATA)
async def test_wrong_metadata_gives_no_keys(changed: dict[str, Any], why: str) -> None:
    world = one_provider()
    world.all[0].metadata |= changed
    await world.keys.refresh(ISSUER)

    assert not is_taken(world)
    ((event, fields),) = world.events
    assert (event, fields["provider"]) == ("provider_keys_unread", "p0")
    assert why in fields["why"]


@pytest.mark.parametrize(
    ("issuer", "metadata_at"),
    [
        ("https://iam.test/", "https://iam.test/.well-known/openid-configuration"),
        ("https://iam.test", "https://iam.test/.well-known/openid-configuration"),
        ("https://kc.test/realms/a", "https://kc.test/realms/a/.well-known/openid-configuration"),
    ],
)
async def test_keys_may_be_on_another_host_as_the_metadata_says(
    issuer: str, metadata_at: str
) -> None:
    keys = [public(ec_key(EC_KID), EC_KID)]
    http = FakeHttp(FakeProvider(issuer, keys, keys_at="https://keys.test/set?v=1"))
    world = Outside(an_entry(*ROWS, issuer=issuer), http=http)
    await world.keys.refresh(issuer)

    assert http.asked == [metadata_at, "https://keys.test/set?v=1"]
    assert is_taken(world, issuer=issuer)


async def test_an_address_that_fails_is_looked_up_anew() -> None:
    world = one_provider()
    await world.keys.refresh(ISSUER)
    world.all[0].keys_at = world.all[0].metadata["jwks_uri"] = "https://iam.test/moved"
    for _ in range(2):
        world.clock.move(60)
        await world.keys.refresh(ISSUER)

    assert world.http.asked[2:] == [
        "https://iam.test/jwk",
        world.all[0].metadata_at,
        world.all[0].keys_at,
    ]


async def test_outages_and_changes_are_logged_once() -> None:
    world = one_provider()
    async with running(world):
        world.all[0].away = True
        await world.clock.advance(7 * HOUR_S)
        world.all[0].away = False
        await world.clock.advance(7 * HOUR_S)
        world.all[0].jwks.append({"kid": "odd", "kty": "OKP"})
        await world.clock.advance(7 * HOUR_S)

    names = [event for event, _ in world.events]
    assert names == [
        "provider_keys_read",
        "provider_keys_unread",
        "provider_keys_read",
        "provider_keys_read",
    ]
    assert world.events[0][1] == {"provider": "p0", "keys": ["ec1", "rsa1"], "skipped": []}
    assert "'odd': its algorithm" in world.events[-1][1]["skipped"][0]
