"""A provider of identities on fakes: its keys, its metadata, and tokens that it never meant."""

import asyncio
import base64
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc import jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, RSAKey

from pilotage.central.identity.errors import KeysNeeded
from pilotage.central.identity.providers.client_requests import ClientRequests
from pilotage.central.identity.providers.metadata import MetadataReader
from pilotage.central.identity.providers.outside_tokens import OutsideTokens
from pilotage.central.identity.providers.provider_files import (
    ProviderBook,
    ProviderEntry,
    Providers,
)
from pilotage.central.identity.providers.provider_http import BadProvider, ProviderAway
from pilotage.central.identity.providers.provider_keys import ProviderKeys
from pilotage.central.identity.strict_tokens import SignedToken
from tests.fake_central import FakeClock, FakeRandomness

AnyKey = ECKey | RSAKey


@cache
def ec_key(name: str, curve: str = "P-256") -> ECKey:
    """Return a private key; the same name gives the same key."""
    curves = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}
    return ECKey.import_key(ec.generate_private_key(curves[curve]), {"kid": name})


@cache
def rsa_key(name: str, bits: int = 2_048) -> RSAKey:
    """Return a private key; the same name gives the same key."""
    with warnings.catch_warnings(action="ignore", category=SecurityWarning):  # of small ones
        return RSAKey.import_key(rsa.generate_private_key(65_537, bits), {"kid": name})


def public(key: AnyKey, kid: str, **more: Any) -> dict[str, Any]:
    """Return the public part of a key as a set shows it; None takes a field out."""
    shown = {**key.as_dict(private=False), "kid": kid, "use": "sig"} | more
    return {name: value for name, value in shown.items() if value is not None}


def base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def signed(header: object, payload: bytes, key: AnyKey, alg: str) -> str:
    """Sign any octets under any header by the algorithm `alg`, whatever the header says."""
    head = header if isinstance(header, bytes) else msgspec.json.encode(header)
    text = f"{base64url(head)}.{base64url(payload)}"
    method = jws.JWSRegistry(algorithms=[alg]).get_alg(alg)
    return f"{text}.{base64url(method.sign(text.encode(), key))}"


@dataclass
class FakeProvider:
    """The answers of one provider, and the addresses that were asked for."""

    issuer: str
    jwks: list[Any]
    keys_at: str = ""
    away: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)
    slow: asyncio.Event | None = None  # answers come after it
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        base = self.issuer.removesuffix("/")
        self.metadata_at = f"{base}/.well-known/openid-configuration"
        self.keys_at = self.keys_at or f"{base}/jwk"
        self.metadata = {"issuer": self.issuer, "jwks_uri": self.keys_at} | self.metadata


class FakeHttp:
    """The web as the central sees it: some providers, and the addresses that it asked for."""

    def __init__(self, *providers: FakeProvider) -> None:
        self.providers = providers
        self.asked: list[str] = []

    async def get(self, url: str, *, ca_file: str = "", bearer: str = "") -> dict[str, Any]:
        self.asked.append(url)
        for one in self.providers:
            if url in (one.metadata_at, one.keys_at):
                one.asked.append(url)
                if one.slow is not None:
                    await one.slow.wait()
                if one.away:
                    raise ProviderAway(f"{url}: no answer")
                return one.metadata if url == one.metadata_at else {"keys": one.jwks}
        raise BadProvider(f"{url}: 404")

    async def post(
        self,
        url: str,
        fields: Mapping[str, str],
        *,
        ca_file: str = "",
        basic: tuple[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        raise AssertionError("keys are never posted")


EC_KID: Final = "ec1"
RSA_KID: Final = "rsa1"


class Outside:
    """Providers of identities, their keys, and the reader of their tokens, on fakes."""

    def __init__(self, *entries: ProviderEntry, http: FakeHttp | None = None) -> None:
        self.clock = FakeClock()
        self.providers = Providers()
        self.providers.book = ProviderBook({f"p{n}": one for n, one in enumerate(entries)})
        self.all = [FakeProvider(one.issuer, usual_keys()) for one in entries]
        self.http = http or FakeHttp(*self.all)
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.keys = ProviderKeys(
            providers=self.providers,
            requests=ClientRequests(self.http, MetadataReader(self.http, self.clock)),
            clock=self.clock,
            randomness=FakeRandomness(),
            log=lambda event, **fields: self.events.append((event, fields)),
        )
        self.tokens = OutsideTokens(providers=self.providers, keys=self.keys)

    async def caller(self, token: SignedToken) -> object:
        """Return the user of a token as a face that may wait for keys: it asks once more."""
        try:
            return self.tokens.caller(token, self.clock.wall())[0]
        except KeysNeeded as needed:
            await self.keys.refresh(needed.issuer)
            return self.tokens.caller(token, self.clock.wall())[0]


def usual_keys() -> list[Any]:
    """Return the keys that a provider publishes: one of each kind, and one for encryption."""
    return [
        public(ec_key(EC_KID), EC_KID, alg="ES256"),
        public(rsa_key(RSA_KID), RSA_KID, alg="RS256"),
        public(rsa_key(RSA_KID), "enc1", use="enc", alg="RSA-OAEP"),
    ]
