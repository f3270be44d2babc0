"""Failures of providers: for one person, for everybody, and of their files."""

import pytest

from pilotage.central.identity.errors import LoginEnded
from pilotage.central.identity.providers.provider_http import (
    NoConnection,
    ProviderAway,
)
from pilotage.central.identity.sessions.confirmations import CHECK_S, UNCHECKED_S
from pilotage.central.identity.sessions.grants import LOOKED_S, MISSING_S
from pilotage.central.identity.sessions.outages import RETRY_S
from pilotage.proto.api.logins import LoginTokens

from .login_world import IAM, LoginWorld, login_world
from .test_sessions import logged_in

TOKEN = f"{IAM}token"


async def logged_in_as(world: LoginWorld, subject: str) -> LoginTokens:
    world.provider.claims["sub"] = subject
    return await logged_in(world)


async def renewed(world: LoginWorld, tokens: LoginTokens) -> LoginTokens:
    """Renew a session of a person whom the provider knows by its usual claims."""
    world.provider.claims["sub"] = tokens.subject
    return await world.sessions.renew(tokens.renewal, tokens.renewal[-16:])


async def test_a_provider_that_fails_for_one_person_confirms_the_others() -> None:
    world = await login_world()
    eve, bob = await logged_in_as(world, "eve"), await logged_in_as(world, "bob")
    world.clock.move(CHECK_S)
    for _ in range(3):  # each time the provider is asked about eve again
        world.provider.away = True
        eve = await renewed(world, eve)
        world.clock.move(RETRY_S)
    await renewed(world, eve)
    world.provider.away = False
    world.provider.claims["wlcg.groups"] = []

    with pytest.raises(LoginEnded, match="no longer gives you"):
        await renewed(world, bob)


async def test_the_person_for_whom_a_provider_failed_waits_before_the_next_request() -> None:
    world = await login_world()
    eve = await logged_in_as(world, "eve")
    world.clock.move(CHECK_S)
    world.provider.away = True
    eve = await renewed(world, eve)
    asked = len(world.http.requests)
    eve = await renewed(world, eve)
    early = len(world.http.requests) - asked
    world.clock.move(RETRY_S)
    await renewed(world, eve)

    assert early == 0
    assert len(world.http.requests) > asked


@pytest.mark.parametrize(
    ("why", "others"),
    [
        (ProviderAway("token: no whole answer within 10 s"), ["eve", "bob"]),
        (NoConnection("token: ConnectError: refused"), ["eve"]),
    ],
)
async def test_a_provider_that_fails_for_everybody_is_away(
    why: ProviderAway, others: list[str]
) -> None:
    world = await login_world()
    failing = [await logged_in_as(world, one) for one in others]
    carol = await logged_in_as(world, "carol")
    world.clock.move(CHECK_S)
    world.provider.away_as = why
    for tokens in failing:
        await renewed(world, tokens)
    asked = len(world.http.requests)
    await renewed(world, carol)

    assert len(world.http.requests) == asked
    assert len(world.events("provider_away")) == 1


async def test_an_answer_between_two_failures_shows_that_the_provider_is_there() -> None:
    world = await login_world()
    eve, bob, carol, dora = [
        await logged_in_as(world, one) for one in ["eve", "bob", "carol", "dora"]
    ]
    world.clock.move(CHECK_S)
    for tokens, is_away in ((eve, True), (bob, False), (carol, True)):
        world.provider.away = is_away
        await renewed(world, tokens)
    asked = len(world.http.requests)
    await renewed(world, dora)

    assert len(world.http.requests) > asked


async def test_a_wrong_answer_about_one_person_is_asked_for_again_after_a_while() -> None:
    world = await login_world()
    alice, bob = await logged_in_as(world, "alice"), await logged_in_as(world, "bob")
    world.clock.move(CHECK_S)
    world.provider.says = {"error": "invalid_client"}
    asked = world.http.requests.count(TOKEN)
    for _ in range(5):
        alice = await renewed(world, alice)
    about_alice = world.http.requests.count(TOKEN) - asked
    await renewed(world, bob)

    assert about_alice == 1
    assert world.http.requests.count(TOKEN) == asked + 2, "others are checked all the same"


async def test_a_person_whom_the_provider_refuses_keeps_no_session_longer_than_another() -> None:
    world = await login_world()
    tokens = [await logged_in(world) for _ in range(3)]
    world.provider.says = {"error": "access_denied"}
    world.clock.move(CHECK_S)
    tokens = [await renewed(world, one) for one in tokens]
    world.clock.move(UNCHECKED_S - CHECK_S)
    asked = world.http.requests.count(TOKEN)
    for one in tokens:  # about the others, the provider is not asked
        with pytest.raises(LoginEnded, match="has not confirmed it for 4 hours"):
            await renewed(world, one)

    assert world.http.requests.count(TOKEN) == asked + 1


async def test_an_outage_after_a_refusal_counts_as_an_outage() -> None:
    world = await login_world()
    tokens = await logged_in(world)
    world.provider.says = {"error": "access_denied"}
    world.clock.move(CHECK_S)
    tokens = await renewed(world, tokens)
    world.provider.away = True
    world.clock.move(UNCHECKED_S)

    assert (await renewed(world, tokens)).groups == ("prod",)


async def test_one_reason_is_logged_once_for_all_sessions() -> None:
    world = await login_world()
    all_tokens = [await logged_in_as(world, one) for one in ("alice", "bob", "carol")]
    world.clock.move(CHECK_S)
    world.provider.says = {"error": "invalid_client"}
    for tokens in all_tokens:
        await renewed(world, tokens)

    assert [one["why"] for one in world.events("provider_away")] == [
        "https://iam.test/ refused a refresh token: invalid_client"
    ]


async def test_a_corrected_file_is_used_at_once() -> None:
    world = await login_world()
    tokens = await logged_in(world)
    book = world.providers.book
    world.clock.move(CHECK_S)
    world.providers.book = type(book)({}, {"iam": "identity/iam.yaml:3: map: is missing"})
    tokens = await renewed(world, tokens)
    world.providers.book = book
    world.provider.claims["wlcg.groups"] = ["/ctao/lst"]

    assert (await renewed(world, tokens)).groups == ("lst",)


async def test_a_file_that_is_missing_for_a_short_time_ends_nothing() -> None:
    world = await login_world()
    tokens = await logged_in(world)
    book = world.providers.book
    world.clock.move(CHECK_S)
    world.providers.book = type(book)({})
    tokens = await renewed(world, tokens)
    world.clock.move(MISSING_S - 1)
    tokens = await renewed(world, tokens)
    world.providers.book = book
    tokens = await renewed(world, tokens)
    world.clock.move(CHECK_S)
    world.providers.book = type(book)({})
    tokens = await renewed(world, tokens)
    world.clock.move(MISSING_S)

    with pytest.raises(LoginEnded, match="no longer log in here"):
        await renewed(world, tokens)


async def test_a_file_that_nobody_looked_for_meanwhile_has_just_gone() -> None:
    world = await login_world()
    tokens = await logged_in(world)
    book = world.providers.book
    world.clock.move(CHECK_S)
    world.providers.book = type(book)({})
    tokens = await renewed(world, tokens)
    world.clock.move(LOOKED_S)

    await renewed(world, tokens)
