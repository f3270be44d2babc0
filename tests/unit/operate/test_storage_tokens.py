"""Tokens for storages from the sources that their files name."""

from typing import Any

import pytest

from pilotage.central.catalogue.remote.storage_http import StorageAway, StorageRefuses, scope_for
from pilotage.central.catalogue.storages import (
    StorageBook,
    StorageCredential,
    StorageEntry,
    Storages,
)
from pilotage.central.identity.providers.client_requests import ClientRequests
from pilotage.central.identity.providers.metadata import MetadataReader
from pilotage.central.operate.storages.tokens import TOKEN_MAX, TokensOfStorages, wrong_credential
from tests.fake_central import FakeClock, FakeRandomness
from tests.unit.identity.login_world import FakeProviderHttp


class Signer:
    """Notes the claims, and gives them as the token."""

    name = "https://central.test/elements"

    def __init__(self) -> None:
        self.claims: list[dict[str, Any]] = []

    def sign(self, claims: dict[str, Any]) -> str:
        self.claims.append(claims)
        return f"token {len(self.claims)}"


def entry(source: str = "issuer", **options: Any) -> StorageEntry:
    credential = StorageCredential(source=source, options=options)
    return StorageEntry(type="davs", url="https://se.test:1094/ctao", credential=credential)


def tokens_of(one: StorageEntry) -> tuple[TokensOfStorages, Signer]:
    storages, signer, clock = Storages(), Signer(), FakeClock()
    storages.book = StorageBook(storages={"pic": one})
    http = FakeProviderHttp({})
    requests = ClientRequests(http, MetadataReader(http, clock))
    made = TokensOfStorages(
        storages, signer=signer, requests=requests, clock=clock, randomness=FakeRandomness()
    )
    return made, signer


async def test_our_issuer_signs_as_many_and_as_long_scopes_as_a_job_needs() -> None:
    tokens, signer = tokens_of(entry())
    scopes = tuple(scope_for("read", "/", f"{'x' * 300}/{number}") for number in range(60))
    found = await tokens.token("pic", scopes)

    assert found.text == "token 1" and found.expires_at is not None
    assert signer.claims[0]["scope"] == " ".join(scopes)
    assert signer.claims[0]["aud"] == "https://se.test:1094"
    assert tokens.width("pic") == "" and "token 1" not in repr(found)


async def test_equal_requests_share_a_token() -> None:
    tokens, signer = tokens_of(entry())
    found = [(await tokens.token("pic", (f"storage.read:/{n}",))).text for n in (1, 2, 1)]

    assert found == ["token 1", "token 2", "token 1"] and len(signer.claims) == 2


async def test_a_token_that_modifies_is_for_the_central_alone(tmp_path: Any) -> None:
    file = tmp_path / "token"
    # {"scope": "storage.read:/ storage.modify:/"}
    file.write_text("e30.eyJzY29wZSI6InN0b3JhZ2UucmVhZDovIHN0b3JhZ2UubW9kaWZ5Oi8ifQ.c2ln")
    tokens, _ = tokens_of(entry("file", path=str(file)))

    assert (await tokens.token("pic", ("storage.modify:/a",))).text
    with pytest.raises(StorageRefuses, match="no job may hold"):
        await tokens.token("pic", ("storage.read:/a",))
    assert "same token for all files" in tokens.width("pic")


async def test_a_token_that_servers_do_not_take_is_refused(tmp_path: Any) -> None:
    file = tmp_path / "token"
    tokens, _ = tokens_of(entry("file", path=str(file)))
    file.write_text("x" * TOKEN_MAX)
    assert (await tokens.token("pic", ("storage.read:/a",))).text == "x" * TOKEN_MAX

    file.write_text("x" * (TOKEN_MAX + 1))
    tokens, _ = tokens_of(entry("file", path=str(file)))
    with pytest.raises(StorageRefuses, match="pic has 4097 characters, expected at most 4096"):
        await tokens.token("pic", ("storage.read:/a",))


async def test_a_missing_file_is_an_outage() -> None:
    tokens, _ = tokens_of(entry("file", path="/nowhere"))
    with pytest.raises(StorageAway, match="nowhere"):
        await tokens.token("pic", ("storage.read:/a",))


@pytest.mark.parametrize(
    ("one", "field"),
    [
        (entry(audeince="x"), "audeince"),
        (entry(scope=["a"]), "credential.options.scope"),
        (entry("client", id="x"), "credential.options"),
        (entry("keys"), "credential.options"),
        (entry("keys", file="relative"), "credential.options"),
        (entry(), ""),
        (entry("file", path="/a"), ""),
        (entry("keys", file="/keys"), ""),
    ],
)
def test_wrong_options_are_named_when_the_file_is_read(one: StorageEntry, field: str) -> None:
    found = wrong_credential(one)

    assert field in found if field else not found
