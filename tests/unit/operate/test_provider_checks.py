"""What `identity check --ask` tells about the answers of a provider."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from pilotage.central.cli.main import run
from pilotage.central.identity.providers.provider_files import ProviderClient, ProviderEntry
from pilotage.central.identity.providers.provider_http import BadProvider, ProviderAway
from pilotage.central.operate.doctor import provider_checks
from pilotage.central.operate.doctor.findings import Finding, Severity
from pilotage.central.operate.providers.provider_http import RealProviderHttp
from tests.fake_central import FakeClock
from tests.unit.identity.fake_provider import usual_keys
from tests.unit.identity.profiles import of_profile

IAM: Final = "https://iam.test/"
ENDPOINTS: Final = ("token", "authorization", "device_authorization", "revocation")


class Provider:
    """The network, with one provider. `code` is its answer to a wrong code."""

    def __init__(self) -> None:
        self.metadata = {f"{name}_endpoint": f"{IAM}{name}" for name in ENDPOINTS}
        self.metadata |= {"issuer": IAM, "jwks_uri": f"{IAM}jwks"}
        self.keys: list[Any] = usual_keys()
        self.code: tuple[int, dict[str, Any]] | Exception = (400, {"error": "invalid_grant"})
        self.posted: list[Mapping[str, str]] = []

    async def get(self, url: str, *, ca_file: str = "", bearer: str = "") -> dict[str, Any]:
        return {"keys": self.keys} if url.endswith("jwks") else self.metadata

    async def post(
        self,
        url: str,
        fields: Mapping[str, str],
        *,
        ca_file: str = "",
        basic: tuple[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        assert (url, basic) == (f"{IAM}token", ("pilotage", "s/ecret"))
        self.posted.append(fields)
        if isinstance(self.code, Exception):
            raise self.code
        return self.code


@pytest.fixture
def entry(tmp_path: Path) -> ProviderEntry:
    """Return a provider with a client, and a secret that only its user can read."""
    secret = tmp_path / "secret"
    secret.write_text("s/ecret\n")
    secret.chmod(0o600)
    client = ProviderClient(id="pilotage", secret_file=str(secret))
    return msgspec.structs.replace(of_profile("wlcg"), issuer=IAM, client=client)


async def asked(provider: Provider, entry: ProviderEntry) -> list[Finding]:
    return [one async for one in provider_checks.answers(entry, provider, FakeClock())]


async def wrong(provider: Provider, entry: ProviderEntry) -> Finding:
    """Return the only finding that is not ok."""
    (found,) = [one for one in await asked(provider, entry) if one.level is not Severity.OK]
    return found


async def test_a_good_provider_gets_a_line_for_each_check(entry: ProviderEntry) -> None:
    provider = Provider()
    found = await asked(provider, entry)

    assert {one.level for one in found} == {Severity.OK}
    assert [one.check for one in found] == ["metadata", "keys", *["logins"] * 3, "secret"]
    assert provider.posted[0]["grant_type"] == "authorization_code"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((401, {"error": "invalid_client"}), "invalid_client"),
        ((401, {"error": "unauthorized_client"}), "unauthorized_client"),  # Keycloak
        (ProviderAway("it hangs"), "it hangs"),
        (BadProvider("no JSON"), "no JSON"),
        ((200, {"access_token": "t"}), "gave tokens for a wrong code"),
    ],
)
async def test_a_client_that_is_not_accepted_is_a_fault(
    entry: ProviderEntry, answer: tuple[int, dict[str, Any]] | Exception, said: str
) -> None:
    provider = Provider()
    provider.code = answer
    found = await wrong(provider, entry)

    assert (found.check, found.level) == ("secret", Severity.FAULT)
    assert said in found.said


async def test_a_secret_that_others_can_read_is_a_fault_and_is_not_sent(
    entry: ProviderEntry,
) -> None:
    assert entry.client is not None
    os.chmod(entry.client.secret_file, 0o644)
    provider = Provider()
    found = await wrong(provider, entry)

    assert found.level is Severity.FAULT
    assert "other users may read it" in found.said
    assert provider.posted == []


async def test_an_issuer_without_its_slash_is_a_fault(entry: ProviderEntry) -> None:
    provider = Provider()
    (found,) = await asked(provider, msgspec.structs.replace(entry, issuer=IAM.removesuffix("/")))

    assert (found.check, found.level) == ("metadata", Severity.FAULT)
    assert f"names the issuer '{IAM}'" in found.said


@pytest.mark.parametrize("name", ["authorization", "device_authorization", "revocation"])
async def test_a_missing_flow_is_a_warning(entry: ProviderEntry, name: str) -> None:
    provider = Provider()
    del provider.metadata[f"{name}_endpoint"]
    found = await wrong(provider, entry)

    assert found.level is Severity.WARNING
    assert f"no {name}_endpoint" in found.said


async def test_keys_that_nobody_can_use_are_a_fault(entry: ProviderEntry) -> None:
    provider = Provider()
    provider.keys = [one for one in provider.keys if one["kty"] == "EC"]
    found = await wrong(provider, msgspec.structs.replace(entry, algorithms=("RS256",)))

    assert (found.check, found.level) == ("keys", Severity.FAULT)


async def test_only_tokens_need_no_flow_and_no_secret(entry: ProviderEntry) -> None:
    found = await asked(Provider(), msgspec.structs.replace(entry, client=None))

    assert [one.check for one in found] == ["metadata", "keys"]


class Hanging(RealProviderHttp):
    """The network, with one provider that answers only about its metadata."""

    async def get(self, url: str, *, ca_file: str = "", bearer: str = "") -> dict[str, Any]:
        if url.endswith("jwks"):
            await asyncio.sleep(60.0)
        return Provider().metadata


async def test_a_provider_that_hangs_is_not_waited_for(
    entry: ProviderEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_checks, "WITHIN_S", 0.05)
    told = await provider_checks.answers_of_all({"iam": entry}, Hanging(), FakeClock())

    assert [one.check for one in told["iam"]] == ["metadata", "answers"]
    assert f"{IAM} has not given all answers" in told["iam"][1].said


def test_the_command_checks_the_file_and_its_communities(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "identity" / "iam.yaml"
    file.parent.mkdir()
    secret = tmp_path / "secret"
    secret.write_text("s/ecret\n")
    secret.chmod(0o644)
    file.write_text(
        f"issuer: https://127.0.0.1:1\nclient: {{id: a, secret_file: {secret}}}\n"
        "groups: {claims: [groups]}\nmap: [{match: /a, community: ctoa, role: user}]\n"
    )
    (tmp_path / "pilotage.yaml").write_text("community: {name: ctao}\n")
    code = run(["identity", "check", str(file), "--ask"])
    said = capsys.readouterr().out

    assert code == 1
    assert "other users may read it" in said
    assert "map[0].community: unknown community 'ctoa'" in said
    assert "fault    metadata" in said


@pytest.mark.parametrize("options", [[], ["--ask", "--claims", "claims.json"]])
def test_the_command_needs_claims_or_a_question(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    file = tmp_path / "iam.yaml"
    file.write_text(
        "issuer: https://iam.test\nbearer: {audiences: [a]}\n"
        "subjects: {r: {role: admin, community: '*'}}\n"
    )

    assert run(["identity", "check", str(file), *options]) == 2
    assert "give either --claims FILE or --ask" in capsys.readouterr().err
