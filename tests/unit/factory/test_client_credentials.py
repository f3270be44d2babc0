"""Tokens that a provider gives to the central as its client: fetched in time, kept to their end."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pilotage.central.factory.credential import CredentialSource
from pilotage.central.factory.credentials import client_credentials
from pilotage.central.factory.credentials.credential_expiry import KnownCredential
from pilotage.central.factory.credentials.sources import source
from pilotage.central.factory.errors import BadOptions, CredentialExpired
from pilotage.central.identity.providers.client_requests import ClientRequests
from pilotage.central.identity.providers.metadata import MetadataReader
from pilotage.central.identity.providers.provider_http import BadProvider, ProviderAway
from tests.fake_central import FakeRandomness

from .test_credentials import Printing, a_token
from .test_factory import HandClock

ISSUER = "https://iam.example.org/"
ENDPOINT = "https://iam.example.org/token"
SECRET = "s3cret-of-the-client"
COMPUTE = "compute.read compute.modify compute.create compute.cancel"
HOUR_S = 3_600.0


class Provider:
    """A provider that gives tokens of a life, is away or refuses."""

    def __init__(self) -> None:
        self.metadata: dict[str, Any] = {"issuer": ISSUER, "token_endpoint": ENDPOINT}
        self.answer: dict[str, Any] = {"token_type": "Bearer", "expires_in": 2 * HOUR_S}
        self.status = 200
        self.fails: Exception | None = None
        self.waits: Callable[[], Awaitable[object]] = lambda: asyncio.sleep(0)
        self.asked: list[tuple[str, str]] = []  # URL and file of authorities
        self.fields: Mapping[str, str] = {}
        self.basic: tuple[str, str] | None = None
        self.given = 0
        self.is_asked = asyncio.Event()

    async def get(self, url: str, *, ca_file: str = "", bearer: str = "") -> dict[str, Any]:
        self.asked.append((url, ca_file))
        self.is_asked.set()
        await self.waits()
        if self.fails is not None:
            raise self.fails
        return self.metadata

    async def post(
        self,
        url: str,
        fields: Mapping[str, str],
        *,
        ca_file: str = "",
        basic: tuple[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        self.asked.append((url, ca_file))
        if self.fails is not None:
            raise self.fails
        self.fields, self.basic = fields, basic
        self.given += 1
        return self.status, {"access_token": f"token{self.given}", **self.answer}

    def refuses(self, status: int = 401, **answer: Any) -> None:
        self.status, self.answer = status, answer


class House:
    """A central with a client at the provider."""

    def __init__(self, folder: Path) -> None:
        self.clock = HandClock()
        self.provider = Provider()
        self.secret = folder / "secret"
        self.secret.touch(mode=0o600)
        self.secret.write_text(f"{SECRET}\n")

    def source(self, *, seed: int = 1, **options: Any) -> CredentialSource:
        given = {"issuer": ISSUER, "id": "factory", "secret_file": str(self.secret), **options}
        return source(
            "client",
            given,
            commands=Printing(),
            clock=self.clock,
            requests=ClientRequests(self.provider, MetadataReader(self.provider, self.clock)),
            randomness=FakeRandomness(seed),
        )


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


async def test_a_token_is_asked_for_as_the_standard_says(house: House) -> None:
    found = await house.source(ca_file="/etc/ca.pem").current()

    assert (found.text, found.expires_at) == ("token1", house.clock.wall() + 2 * HOUR_S)
    assert house.provider.asked == [
        ("https://iam.example.org/.well-known/openid-configuration", "/etc/ca.pem"),
        (ENDPOINT, "/etc/ca.pem"),
    ]
    assert house.provider.fields == {"grant_type": "client_credentials", "scope": COMPUTE}
    assert house.provider.basic == ("factory", SECRET)


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({"audience": "ce:9619"}, {"scope": COMPUTE, "audience": "ce:9619"}),
        (
            {"audience": "https://ce", "audience_parameter": "resource", "scope": ["a", "b:/c"]},
            {"scope": "a b:/c", "resource": "https://ce"},
        ),
        ({"scope": []}, {}),
    ],
)
async def test_audience_and_scopes_are_named_as_the_provider_takes_them(
    house: House, options: dict[str, Any], fields: dict[str, str]
) -> None:
    await house.source(**options).current()

    assert house.provider.fields == {"grant_type": "client_credentials", **fields}


async def test_the_secret_goes_into_the_form_if_the_provider_wants_it_there(house: House) -> None:
    house.provider.metadata["token_endpoint_auth_methods_supported"] = [
        "private_key_jwt",
        "client_secret_post",
    ]
    await house.source(scope=[]).current()

    assert house.provider.basic is None
    assert house.provider.fields == {
        "grant_type": "client_credentials",
        "client_id": "factory",
        "client_secret": SECRET,
    }


async def test_a_new_token_is_fetched_before_half_of_its_life_at_different_moments(
    house: House,
) -> None:
    pauses: list[float] = []
    for seed in range(20):
        reads, began = house.source(seed=seed), house.clock.now
        first = await reads.current()
        while (await reads.current()).text == first.text:
            house.clock.now += 10.0
        pauses.append(house.clock.now - began)

    assert house.provider.given == 40, "none was fetched in between"
    assert 0.4 * 2 * HOUR_S <= min(pauses) < max(pauses) <= 0.5 * 2 * HOUR_S
    assert len(set(pauses)) > 10


@pytest.mark.parametrize("moment", [0.0, 0.39, 0.489])  # of the token's life
async def test_an_absence_of_an_hour_costs_nothing(house: House, moment: float) -> None:
    reads = house.source()
    await reads.current()
    house.clock.now += moment * 2 * HOUR_S
    house.provider.fails = ProviderAway("https://iam.example.org: status 503")
    for _ in range(240):
        assert (await reads.current()).text
        house.clock.now += 15.0
    tries = len(house.provider.asked)
    house.provider.fails = None
    for _ in range(4):
        last = await reads.current()
        house.clock.now += 15.0

    assert last.expires_at is not None
    assert last.expires_at - house.clock.wall() > HOUR_S
    assert tries <= 2 + 240, "a try in 15 s at most"


async def test_a_provider_that_stays_away_stops_the_element_with_the_reason(house: House) -> None:
    reads = KnownCredential(house.source(), house.clock)
    house.provider.answer["expires_in"] = 600
    await reads.current()
    house.provider.fails = ProviderAway(f"{ISSUER}: status 503")
    house.clock.now += 500.0
    kept = await reads.current()
    house.clock.now += 50.0

    assert kept.text == "token1"
    with pytest.raises(CredentialExpired, match=r"status 503; .*its last token: expires in 50 s"):
        await reads.current()
    assert reads.left_s == 50.0
    assert not reads.is_at_fault


async def test_a_failure_is_told_until_the_next_try(house: House) -> None:
    reads = house.source()
    house.provider.fails = ProviderAway("nobody there")
    for _ in range(10):
        with pytest.raises(CredentialExpired, match="nobody there"):
            await reads.current()
    tries = len(house.provider.asked)
    house.clock.now += 30.0
    house.provider.fails = None

    assert tries == 1
    assert (await reads.current()).text == "token1"


async def test_a_refusal_is_told_with_its_word_and_never_the_secret(house: House) -> None:
    house.provider.refuses(error="invalid_client", error_description=f"{SECRET} is wrong")

    with pytest.raises(CredentialExpired) as why:
        await house.source().current()
    assert why.value.why == f"{ISSUER}: refused the client 'factory': invalid_client"


@pytest.mark.parametrize("word", [None, 7, "", f"bad {SECRET}", "a\nb", "x" * 100])
async def test_a_word_that_is_no_word_is_not_repeated(house: House, word: object) -> None:
    house.provider.refuses(400, error=word)

    with pytest.raises(CredentialExpired) as why:
        await house.source().current()
    assert why.value.why == f"{ISSUER}: refused the client 'factory': status 400"


async def test_a_refusal_leaves_the_last_token_to_its_end(house: House) -> None:
    reads = house.source()
    await reads.current()
    house.provider.refuses(error="invalid_client")
    house.clock.now += 1.9 * HOUR_S
    kept = await reads.current()
    house.clock.now += 0.1 * HOUR_S

    assert kept.text == "token1"
    with pytest.raises(CredentialExpired, match="invalid_client; .*its last token: expires in 0 s"):
        await reads.current()


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ({"issuer": "https://evil.example.org/"}, "names the issuer 'https://evil.example.org/'"),
        ({"issuer": ISSUER.rstrip("/")}, "names the issuer 'https://iam.example.org'"),
        ({"issuer": None}, "its metadata: .*issuer"),
        ({"token_endpoint": None}, "its metadata: .*token_endpoint"),
        (
            {"token_endpoint": "http://127.0.0.1/x"},
            "token_endpoint in its metadata: 'http://127.0.0.1/x' is not https",
        ),
        (
            {"token_endpoint_auth_methods_supported": ["private_key_jwt"]},
            "found private_key_jwt, expected client_secret_basic",
        ),
        ({"token_endpoint_auth_methods_supported": "x"}, "its metadata: .*auth_methods"),
    ],
)
async def test_metadata_of_another_provider_get_no_secret(
    house: House, metadata: dict[str, Any], told: str
) -> None:
    house.provider.metadata |= metadata

    with pytest.raises(CredentialExpired, match=told):
        await house.source().current()
    assert house.provider.given == 0


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"access_token": 7}, "no valid access_token"),
        ({"access_token": ""}, "no valid access_token"),
        ({"access_token": "a\nb"}, "no valid access_token"),
        ({"access_token": "x" * 20_000}, "no valid access_token"),
        ({"token_type": "DPoP"}, "token_type: found 'DPoP', expected 'Bearer'"),
        ({"token_type": None}, "token_type: found None"),
        ({"expires_in": "soon"}, "expires_in: found 'soon', expected seconds"),
        ({"expires_in": -5}, "expires_in: found -5"),
        ({"expires_in": 0}, "expires_in: found 0"),
        ({"expires_in": True}, "expires_in: found True"),
        ({"expires_in": None}, "expires_in: found None"),
        ({"expires_in": 10**400}, "expires_in: found 1000"),
        ({"expires_in": -(10**400)}, "expires_in: found -1000"),
        ({"expires_in": math.nan}, "expires_in: found nan"),
    ],
)
async def test_an_answer_without_a_usable_token_is_refused(
    house: House, answer: dict[str, Any], told: str
) -> None:
    house.provider.answer |= answer

    with pytest.raises(CredentialExpired, match=told) as why:
        await house.source().current()
    assert len(why.value.why) < 400


@pytest.mark.parametrize("life", [600, 600.0, "600"])
async def test_a_life_may_be_text(house: House, life: object) -> None:
    house.provider.answer["expires_in"] = life

    assert (await house.source().current()).expires_at == house.clock.wall() + 600.0


async def test_without_a_life_the_tokens_own_end_counts(house: House) -> None:
    house.provider.answer = {"token_type": "bearer", "access_token": a_token(house.clock, 900)}
    reads = house.source()
    found = await reads.current()
    house.clock.now += 460.0
    await reads.current()

    assert found.expires_at == 1_000_000.0 + 1_000.0 + 900.0
    assert house.provider.given == 2


async def test_a_token_without_any_known_end_is_fetched_again_after_minutes(house: House) -> None:
    house.provider.answer = {"token_type": "bearer"}
    reads = house.source()
    first = await reads.current()
    house.clock.now += 299.0
    kept = await reads.current()
    house.clock.now += 1.0
    second = await reads.current()
    house.provider.fails = ProviderAway("away")
    house.clock.now += 301.0

    assert first.expires_at is None
    assert (first.text, kept.text, second.text) == ("token1", "token1", "token2")
    assert (await reads.current()).text == "token2"


async def test_a_token_that_is_over_when_it_comes_stops_the_element(house: House) -> None:
    house.provider.answer["expires_in"] = 30

    with pytest.raises(CredentialExpired, match="its last token: expires in 30 s"):
        await house.source().current()


async def test_a_step_of_our_clock_costs_half_a_minute(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = house.source()
    await reads.current()
    house.clock.now += 31.0
    later = house.clock.wall() + 10 * HOUR_S
    monkeypatch.setattr(house.clock, "wall", lambda: later)

    assert (await reads.current()).text == "token2"


async def test_callers_at_once_cause_one_fetch(house: House) -> None:
    reads = house.source()
    first = await asyncio.gather(*(reads.current() for _ in range(5)))
    given = house.provider.given
    house.clock.now += HOUR_S
    held = asyncio.Event()
    house.provider.is_asked.clear()
    house.provider.waits = held.wait
    async with asyncio.TaskGroup() as group:
        renewing = group.create_task(reads.current())
        await house.provider.is_asked.wait()
        beside = await reads.current()
        held.set()

    assert {one.text for one in first} == {"token1"}
    assert (given, beside.text, renewing.result().text) == (1, "token1", "token2")


async def test_a_provider_that_hangs_holds_the_element_for_a_bounded_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_credentials, "FETCH_S", 0.05)
    house.provider.waits = asyncio.Event().wait
    reads = house.source()

    for _ in range(3):
        with pytest.raises(CredentialExpired, match=r"gave no token within 0\.05 s"):
            await reads.current()
    assert len(house.provider.asked) == 1


async def test_a_caller_that_is_cancelled_leaves_no_fetch_behind(house: House) -> None:
    house.provider.waits = asyncio.Event().wait
    reads = house.source()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await reads.current()
    house.provider.waits = lambda: asyncio.sleep(0)

    assert (await reads.current()).text == "token1"


@pytest.mark.parametrize("mess", ["others", "missing", "empty"])
async def test_a_secret_must_be_private_and_there(house: House, mess: str) -> None:
    told = {"others": "chmod 0600 it", "missing": "cannot be read", "empty": "is empty"}[mess]
    if mess == "others":
        house.secret.chmod(0o640)
    elif mess == "missing":
        house.secret.unlink()
    else:
        house.secret.write_text("")

    with pytest.raises(CredentialExpired, match=f"{house.secret}: .*{told}"):
        await house.source().current()
    assert house.provider.asked == []


async def test_a_new_secret_counts_at_the_next_fetch(house: House) -> None:
    reads = house.source()
    house.provider.fails = BadProvider("no metadata")
    with pytest.raises(CredentialExpired, match="no metadata"):
        await reads.current()
    house.provider.fails = None
    house.secret.write_text("another")
    house.clock.now += 30.0
    await reads.current()

    assert house.provider.basic == ("factory", "another")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"issuer": "http://iam.example.org"}, "credential.options.issuer"),
        ({"issuer": "http://127.0.0.1.example.org/"}, "credential.options.issuer"),
        ({"id": ""}, "credential.options.id"),
        ({"id": "a\n"}, "credential.options.id"),
        ({"secret_file": "secret"}, "credential.options.secret_file"),
        ({"audience": "a b"}, "credential.options.audience"),
        ({"audience_parameter": "aud"}, "credential.options.audience_parameter"),
        ({"scope": "compute.read"}, "credential.options.scope"),
        ({"scope": ["a b"]}, "credential.options.scope"),
        ({"ca_file": "ca.pem"}, "credential.options.ca_file"),
        ({"secret": SECRET}, "credential.options.*secret"),
    ],
)
def test_a_wrong_option_is_named(house: House, options: dict[str, Any], told: str) -> None:
    with pytest.raises(BadOptions, match=told):
        house.source(**options)


@pytest.mark.parametrize("issuer", ["http://localhost:8080/x", "http://[::1]:80", ISSUER])
def test_a_provider_of_this_machine_needs_no_tls(house: House, issuer: str) -> None:
    house.source(issuer=issuer)


def test_without_a_network_the_source_is_refused(house: House) -> None:
    given = {"issuer": ISSUER, "id": "factory", "secret_file": str(house.secret)}

    with pytest.raises(BadOptions, match="credential.source: providers are not asked here"):
        source("client", given, commands=Printing(), clock=house.clock)
