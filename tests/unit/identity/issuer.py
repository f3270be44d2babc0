"""A local issuer on fakes, and tokens that it never made."""

import base64
import hmac
from dataclasses import dataclass
from typing import Any

import msgspec
from joserfc import jws
from joserfc.jwk import ECKey

from pilotage.central.identity.callers import User
from pilotage.central.identity.providers.outside_tokens import OutsideTokens
from pilotage.central.identity.tokens import ADMIN_FILE, TokenIssuer, open_tokens
from pilotage.proto.claims import Role
from tests.fake_central import FakeClock, FakeDisk, FakeRandomness
from tests.memory_store import MemoryStore
from tests.no_providers import no_providers

from .token_store import DATA

ISSUER = "https://central.test"
AUDIENCE = "pilotage"


@dataclass
class Issuer:
    """Everything around a `TokenIssuer`."""

    clock: FakeClock
    disk: FakeDisk
    store: MemoryStore
    tokens: TokenIssuer

    @property
    def admin(self) -> User:
        """The administrator of the first start."""
        caller = self.tokens.caller(self.admin_token)
        assert isinstance(caller, User)
        return caller

    @property
    def admin_token(self) -> str:
        return self.disk.files[DATA / ADMIN_FILE].decode().strip()

    def key(self) -> dict[str, Any]:
        """The private key that signs, as an attacker never has it."""
        found: dict[str, Any] = msgspec.json.decode(self.disk.files[DATA / "signing-keys.json"])
        newest: dict[str, Any] = found["keys"][0]
        return newest

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Good claims of a user, some of them changed; None takes one out."""
        now = int(self.clock.wall())
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "sub": "ada",
            "aud": AUDIENCE,
            "exp": now + 600,
            "iat": now,
            "jti": "j1",
            "kind": "user",
            "community": "ctao",
            "role": "user",
            "wlcg.ver": "1.0",
        } | {name.replace("__", "."): value for name, value in changed.items()}
        return {name: value for name, value in claims.items() if value is not None}

    def signed(self, claims: dict[str, Any], **header: Any) -> str:
        """Sign claims with the central's own key."""
        key = self.key()
        private = {name: key[name] for name in ("kty", "crv", "x", "y", "d")}
        head = {"alg": "ES256", "kid": key["kid"]} | header
        head = {name: value for name, value in head.items() if value is not None}
        payload = msgspec.json.encode(claims)
        return jws.serialize_compact(head, payload, ECKey.import_key(private), algorithms=["ES256"])

    def signed_with_public_key_as_secret(self, claims: dict[str, Any]) -> str:
        """The classic confusion: HS256 with what everybody can read in the JWKS."""
        key = self.key()
        public = {name: key[name] for name in ("kty", "crv", "x", "y")}
        secret = ECKey.import_key(public).as_pem(private=False)
        # By hand: the library refuses to be used like this.
        signed = f"{_part({'alg': 'HS256', 'kid': key['kid']})}.{_part(claims)}"
        mac = hmac.digest(secret, signed.encode(), "sha256")
        return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def _part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(value)).rstrip(b"=").decode()


async def make_issuer(
    *,
    clock: FakeClock | None = None,
    disk: FakeDisk | None = None,
    store: MemoryStore | None = None,
    outside: OutsideTokens | None = None,
    seed: int = 1,
) -> Issuer:
    """Start an issuer; with the disk and store of another one it is the same one restarted."""
    clock = clock or FakeClock()
    disk = disk or FakeDisk()
    store = store or MemoryStore(clock_wall=clock.wall)
    tokens = await open_tokens(
        DATA,
        store=store,
        disk=disk,
        clock=clock,
        randomness=FakeRandomness(seed),
        issuer=ISSUER,
        audience=AUDIENCE,
        outside=outside or no_providers(clock, FakeRandomness()).outside,
    )
    return Issuer(clock, disk, store, tokens)


def person(
    role: Role = Role.USER,
    *,
    subject: str = "ada",
    community: str = "ctao",
    groups: tuple[str, ...] = (),
    expires_at: float = 2e9,
) -> User:
    """Return a caller with that role."""
    return User(
        issuer=ISSUER,
        subject=subject,
        name="",
        community=community,
        groups=groups,
        role=role,
        expires_at=expires_at,
        jti="caller",
    )
