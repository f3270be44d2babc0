"""Metadata of providers: fetched once for all callers, and again when an endpoint has moved."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from pilotage.central.identity.providers.client_requests import (
    SECONDS_MAX,
    ClientAccount,
    ClientRequests,
    seconds,
)
from pilotage.central.identity.providers.metadata import (
    KEPT_S,
    ONCE_IN_S,
    SOON_S,
    MetadataReader,
)
from pilotage.central.identity.providers.provider_http import (
    BadProvider,
    NoConnection,
    NoEndpoint,
    ProviderAway,
)
from tests.fake_central import FakeClock, settle

ISSUER = "https://iam.test/"
CLIENT = ClientAccount(issuer=ISSUER, id="pilotage", secret="s/ecret")


class Provider:
    """A provider whose token endpoint may move."""

    def __init__(self) -> None:
        self.token_at = f"{ISSUER}token"
        self.slow: asyncio.Event | None = None
        self.fails: Exception | None = None  # for the metadata
        self.refuses: Exception | None = None  # for addresses at which nothing is
        self.fetches = 0

    async def get(self, url: str, *, ca_file: str = "", bearer: str = "") -> dict[str, Any]:
        self.fetches += 1
        if self.slow is not None:
            await self.slow.wait()
        if self.fails is not None:
            raise self.fails
        return {"issuer": ISSUER, "token_endpoint": self.token_at}

    async def post(
        self,
        url: str,
        fields: Mapping[str, str],
        *,
        ca_file: str = "",
        basic: tuple[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        if url != self.token_at:
            assert self.refuses is not None
            raise self.refuses
        return 200, {"access_token": "t"}


async def refused(url: str, fields: Mapping[str, str], **_: object) -> tuple[int, dict[str, Any]]:
    raise NoEndpoint(f"{url}: 404")


class World:
    def __init__(self) -> None:
        self.clock, self.provider = FakeClock(), Provider()
        self.reader = MetadataReader(self.provider, self.clock)
        self.requests = ClientRequests(self.provider, self.reader)

    async def token(self) -> int:
        status, _ = await self.requests.post(CLIENT, "token_endpoint", {})
        return status


async def test_callers_at_once_share_one_fetch() -> None:
    world = World()
    world.provider.slow = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        callers = [tasks.create_task(world.reader.of(CLIENT)) for _ in range(10)]
        await settle()
        world.provider.slow.set()

    assert world.provider.fetches == 1
    assert {one.result().issuer for one in callers} == {ISSUER}


async def test_callers_at_once_share_a_failure() -> None:
    world = World()
    world.provider.slow, world.provider.fails = asyncio.Event(), ProviderAway("no answer")
    waiting = asyncio.gather(*(world.reader.of(CLIENT) for _ in range(10)), return_exceptions=True)
    await settle()
    world.provider.slow.set()

    assert {(type(one), str(one)) for one in await waiting} == {(ProviderAway, "no answer")}
    assert world.provider.fetches == 1


@pytest.mark.parametrize("failure", [BadProvider("no JSON"), ProviderAway("no answer")])
async def test_after_a_failure_the_provider_is_asked_again_soon(failure: Exception) -> None:
    world = World()
    world.provider.fails = failure
    for _ in range(50):
        with pytest.raises(type(failure), match=str(failure)):
            await world.reader.of(CLIENT)
    assert world.provider.fetches == 1
    world.provider.fails = None
    world.clock.move(SOON_S)

    assert (await world.reader.of(CLIENT)).issuer == ISSUER


async def test_a_cancelled_fetch_leaves_nobody_waiting() -> None:
    world = World()
    world.provider.slow = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(world.reader.of(CLIENT))
        await settle()
        second = tasks.create_task(world.reader.of(CLIENT))
        await settle()
        first.cancel()
        await settle()
        world.provider.slow.set()

    assert second.result().issuer == ISSUER
    assert world.provider.fetches == 2


async def test_nobody_waits_for_a_provider_whose_metadata_are_known() -> None:
    world = World()
    await world.reader.of(CLIENT)
    world.clock.move(KEPT_S)
    world.provider.slow = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        fetching = tasks.create_task(world.reader.of(CLIENT))
        await settle()

        assert (await world.reader.of(CLIENT)).issuer == ISSUER
        assert not fetching.done()
        world.provider.slow.set()


@pytest.mark.parametrize(
    "failure", [BadProvider("no JSON"), ProviderAway("no answer"), NoEndpoint("status 404")]
)
async def test_the_last_metadata_stay_while_the_provider_fails(failure: Exception) -> None:
    world = World()
    await world.reader.of(CLIENT)
    world.provider.fails = failure
    world.clock.move(KEPT_S)
    for _ in range(5):
        assert (await world.reader.of(CLIENT)).token_endpoint
    fetches = world.provider.fetches
    world.clock.move(ONCE_IN_S)
    await world.reader.of(CLIENT)

    assert (fetches, world.provider.fetches) == (2, 3)


@pytest.mark.parametrize("refusal", [NoEndpoint("404"), NoConnection("nobody there")])
async def test_a_moved_endpoint_is_found_by_all_users_of_the_reader(refusal: Exception) -> None:
    world = World()
    other = ClientRequests(world.provider, world.reader)
    await world.token()
    world.provider.token_at, world.provider.refuses = f"{ISSUER}moved", refusal
    with pytest.raises(type(refusal)):
        await world.token()
    world.clock.move(ONCE_IN_S)

    assert (await other.post(CLIENT, "token_endpoint", {}))[0] == 200
    assert world.provider.fetches == 2


async def test_an_endpoint_that_stays_away_causes_one_fetch_a_minute() -> None:
    world = World()
    world.provider.post = refused  # type: ignore[method-assign]
    for _ in range(1_200):  # ten a second
        with pytest.raises(NoEndpoint):
            await world.token()
        world.clock.move(0.1)

    assert world.provider.fetches == 2


async def test_a_provider_that_is_away_keeps_its_metadata() -> None:
    world = World()
    await world.token()
    world.provider.token_at, world.provider.refuses = f"{ISSUER}x", ProviderAway("status 503")
    with pytest.raises(ProviderAway):
        await world.token()
    world.clock.move(KEPT_S - 1)
    await world.reader.of(CLIENT)

    assert world.provider.fetches == 1


async def test_what_is_in_memory_asks_nobody() -> None:
    world = World()
    before = world.reader.find(ISSUER)
    await world.reader.of(CLIENT)
    world.clock.move(10 * KEPT_S)
    found = world.reader.find(ISSUER)
    world.reader.keep_only([])

    assert before is None and found is not None
    assert world.reader.find(ISSUER) is None
    assert world.provider.fetches == 1


def test_the_secret_of_a_client_is_not_shown() -> None:
    assert "s/ecret" not in repr(CLIENT)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (600, 600.0),
        (0, 0.0),
        ("600", 600.0),
        (0.5, 0.5),
        (10**400, SECONDS_MAX),
        (1e300, SECONDS_MAX),
    ],
)
def test_seconds_are_bounded(found: object, expected: float) -> None:
    assert seconds(found) == expected


@pytest.mark.parametrize(
    "found", ["inf", "nan", "-1", "1e9", "", -1, -0.5, float("nan"), True, None, [1], "9" * 400]
)
def test_what_is_no_number_of_seconds_is_refused(found: object) -> None:
    with pytest.raises(ValueError, match="expected seconds") as why:
        seconds(found)

    assert len(str(why.value)) < 150
