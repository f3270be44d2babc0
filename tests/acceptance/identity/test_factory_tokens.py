"""Tokens for elements from a real provider, fetched by the factory as a client of it."""

import time
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from pilotage.central.factory.commands import Commands
from pilotage.central.factory.credential import CredentialSource
from pilotage.central.factory.credentials import client_credentials
from pilotage.central.factory.credentials.sources import source
from pilotage.central.factory.errors import CredentialExpired
from pilotage.central.factory.spawned_commands import spawned
from pilotage.central.identity.providers.client_requests import ClientRequests
from pilotage.central.identity.providers.metadata import MetadataReader
from pilotage.central.operate.clocks import SystemRandomness
from pilotage.central.operate.providers.provider_http import RealProviderHttp
from tests.fake_central import FakeClock

from ..running import eventually, running_central
from .providers import FACTORY, Away, RunningProvider, running_provider

AUDIENCE = "https://ce.example.org:9619"


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProvider]:
    with running_provider(tmp_path_factory.mktemp("provider"), profile="wlcg") as found:
        yield found


@pytest.fixture
async def http() -> AsyncGenerator[RealProviderHttp]:
    made = RealProviderHttp()
    yield made
    await made.close()


class Client:
    """The factory as a client of the provider, on a clock that the test moves."""

    def __init__(
        self, provider: RunningProvider, http: RealProviderHttp, commands: Commands, folder: Path
    ) -> None:
        self.clock = FakeClock(wall=time.time())
        self.secret = folder / "secret"
        self.secret.touch(mode=0o600)
        self.secret.write_text(provider.clients[FACTORY])
        self._provider, self._http, self._commands = provider, http, commands

    def source(self, **options: Any) -> CredentialSource:
        given = {
            "issuer": self._provider.issuer,
            "id": FACTORY,
            "secret_file": str(self.secret),
            "audience": AUDIENCE,
            "audience_parameter": "resource",
            "ca_file": str(self._provider.ca_file),
        }
        return source(
            "client",
            given | options,
            commands=self._commands,
            clock=self.clock,
            requests=ClientRequests(self._http, MetadataReader(self._http, self.clock)),
            randomness=SystemRandomness(),
        )


@pytest.fixture
async def client(
    provider: RunningProvider, http: RealProviderHttp, tmp_path: Path
) -> AsyncGenerator[Client]:
    async with spawned() as commands:
        yield Client(provider, http, commands, tmp_path)


async def test_a_token_has_the_audience_and_the_scopes(
    provider: RunningProvider, http: RealProviderHttp, client: Client
) -> None:
    found = await client.source().current()
    keys = await http.get(f"{provider.issuer}/jwks", ca_file=str(provider.ca_file))
    claims = jwt.decode(
        found.text,
        KeySet.import_key_set(keys),  # type: ignore[arg-type]
        algorithms=["ES256"],
    ).claims

    assert found.expires_at is not None
    assert abs(found.expires_at - claims["exp"]) < 5.0
    assert (claims["iss"], claims["aud"]) == (provider.issuer, AUDIENCE)
    assert set(claims["scope"].split()) == {
        "compute.read",
        "compute.modify",
        "compute.create",
        "compute.cancel",
    }


@pytest.mark.parametrize(
    ("options", "secret", "word"),
    [
        ({}, "another-secret", "invalid_client"),
        ({"audience": "no-uri"}, "", "invalid_target"),
    ],
)
async def test_a_refusal_is_told_by_its_word(
    client: Client, options: dict[str, Any], secret: str, word: str
) -> None:
    if secret:
        client.secret.write_text(secret)
    with pytest.raises(CredentialExpired) as why:
        await client.source(**options).current()

    assert why.value.why.endswith(f"refused the client {FACTORY!r}: {word}")


async def test_another_name_of_the_issuer_is_refused(
    provider: RunningProvider, client: Client
) -> None:
    before = len(provider.requests("/token"))
    with pytest.raises(CredentialExpired, match=f"names the issuer '{provider.issuer}'"):
        await client.source(issuer=f"{provider.issuer}/").current()

    assert len(provider.requests("/token")) == before


@pytest.mark.parametrize("kind", ["refuse", "hang", "error"])
async def test_while_the_provider_is_away_the_last_token_is_used(
    provider: RunningProvider, client: Client, kind: Away, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = client.source()
    first = await reads.current()
    client.clock.move(1_800.0)
    provider.away(kind)
    with monkeypatch.context() as patched:
        patched.setattr(client_credentials, "FETCH_S", 0.5)
        kept = await reads.current()
        client.clock.move(1_760.0)
        with pytest.raises(CredentialExpired, match=f"{provider.issuer}: its last token: expires"):
            await reads.current()
    provider.back()
    client.clock.move(60.0)
    back = await reads.current()

    assert kept is first
    assert back.text != first.text


ELEMENT = """\
  {name}:
    kind: arc
    options: {{url: "https://localhost:1/arex"}}
    credential:
      source: client
      options: {{issuer: "{issuer}", id: {id}, secret_file: {secret}, ca_file: {ca_file}}}
"""


def test_a_refusal_stops_one_element_of_a_running_central(
    provider: RunningProvider, tmp_path: Path
) -> None:
    secrets = {"good": provider.clients[FACTORY], "bad": "a-secret-of-another"}
    known = {"issuer": provider.issuer, "id": FACTORY, "ca_file": provider.ca_file}
    text = "elements:\n"
    for name, secret in secrets.items():
        file = tmp_path / name
        file.touch(mode=0o600)
        file.write_text(secret)
        text += ELEMENT.format(name=name, secret=file, **known)
    sites = tmp_path / "sites"
    sites.mkdir()
    (sites / "PIC.yaml").write_text(text)
    with running_central(tmp_path / "one", {"factory.sites": str(sites)}) as central:
        events = eventually(lambda: _both(central.events("element_trouble")), what="both troubles")
        views = {one.element: one for one in central.client.elements().elements}
        log = central.log

    good, bad = views["good"], views["bad"]
    assert good.credential_left_s is not None
    assert 3_000 < good.credential_left_s <= 3_600
    assert "ConnectError" in events["good"], "it had its token"
    assert bad.credential_fault
    assert events["bad"] == f"{provider.issuer}: refused the client {FACTORY!r}: invalid_client"
    for secret in (*secrets.values(), "eyJ"):
        assert secret not in log


def _both(events: list[dict[str, Any]]) -> dict[str, str]:
    """Return the troubles of both elements, or nothing."""
    found = {one["element"]: one["why"] for one in events}
    return found if len(found) == 2 else {}
