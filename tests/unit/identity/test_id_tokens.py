"""ID tokens of a login: whose they are, and keys that come at the right moment."""

from typing import Any

import msgspec
import pytest

from pilotage.central.identity.providers.id_tokens import IdTokenReader
from pilotage.central.identity.providers.metadata import SOON_S
from pilotage.central.identity.providers.provider_files import ProviderClient, ProviderEntry
from pilotage.central.identity.providers.provider_http import BadProvider, ProviderAway

from .fake_provider import EC_KID, Outside, ec_key, signed
from .login_world import entry

ISSUER = "https://iam.test/"


def id_token(outside: Outside, **changed: Any) -> str:
    now = int(outside.clock.wall())
    claims = {
        "iss": ISSUER,
        "sub": "alice",
        "aud": "pilotage",
        "iat": now,
        "exp": now + 600,
        "nonce": "n1",
    } | changed
    good = {name: value for name, value in claims.items() if value is not None}
    return signed(
        {"alg": "ES256", "kid": EC_KID}, msgspec.json.encode(good), ec_key(EC_KID), "ES256"
    )


def reader() -> tuple[Outside, ProviderEntry, IdTokenReader]:
    its = entry(ISSUER, client=ProviderClient(id="pilotage", secret_file="/secret"))
    outside = Outside(its)
    return outside, its, IdTokenReader(outside.keys, outside.clock)


async def test_an_id_token_names_the_person() -> None:
    outside, its, tokens = reader()
    claims = await tokens.claims(its, id_token(outside), nonce="n1")
    assert claims["sub"] == "alice"
    assert await tokens.claims(its, id_token(outside, nonce=None), nonce=""), "a device sends none"


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "another client"},
        {"aud": ["pilotage", "another client"]},
        {"azp": "another client"},
        {"iss": "https://other.test/"},
        {"nonce": "of another login"},
        {"nonce": None},
        {"exp": 1},
        {"sub": ""},
    ],
)
async def test_a_token_for_another_login_is_refused(changed: dict[str, Any]) -> None:
    outside, its, tokens = reader()
    with pytest.raises(BadProvider, match="not valid for this login"):
        await tokens.claims(its, id_token(outside, **changed), nonce="n1")


async def test_a_forged_signature_is_refused() -> None:
    outside, its, tokens = reader()
    head, body, _ = id_token(outside).split(".")
    other = id_token(outside, sub="mallory").split(".")[2]
    with pytest.raises(BadProvider):
        await tokens.claims(its, f"{head}.{body}.{other}", nonce="n1")


async def test_keys_come_at_once_after_an_outage() -> None:
    """The provider has just answered this login, so a minute need not pass."""
    outside, its, tokens = reader()
    outside.all[0].away = True
    await outside.keys.refresh(ISSUER)
    with pytest.raises(ProviderAway):
        await tokens.claims(its, id_token(outside), nonce="n1")
    outside.all[0].away = False
    outside.clock.move(SOON_S)
    assert await tokens.claims(its, id_token(outside), nonce="n1")
