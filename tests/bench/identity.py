"""What it costs to know a caller: our own tokens from memory, and tokens of a provider."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Final

import msgspec

from pilotage.central.identity.providers.provider_files import (
    BearerRules,
    GroupClaims,
    MapRow,
    ProviderEntry,
)
from pilotage.central.identity.tokens import TokenIssuer, open_tokens
from pilotage.central.operate.clocks import SystemClock, SystemRandomness
from pilotage.proto.claims import Role
from tests.fake_central import FakeDisk
from tests.memory_store import MemoryStore
from tests.unit.identity.fake_provider import (
    EC_KID,
    RSA_KID,
    AnyKey,
    Outside,
    ec_key,
    rsa_key,
    signed,
)

from .figures import Figure, figure

ISSUER: Final = "https://iam.test/"
AUDIENCE: Final = "https://central.test"
CALLS: Final = 100_000
FIRST: Final = 500  # tokens, each seen once
ROUNDS: Final = 5  # of which the median counts
WORK = (
    f"In one process, median of {ROUNDS} rounds: {CALLS:,} lookups of one verified token, beside a "
    f"bare lookup by the token's hash; {FIRST} tokens of a provider with each algorithm, each new."
)


def run() -> tuple[str, list[Figure]]:
    """Measure lookups and verifications."""
    return WORK, asyncio.run(_figures())


async def _figures() -> list[Figure]:
    outside = Outside(
        ProviderEntry(
            issuer=ISSUER,
            bearer=BearerRules(audiences=(AUDIENCE,)),
            groups=GroupClaims(claims=("wlcg.groups",)),
            map=(MapRow(match="/ctao/{group}", community="ctao", role=Role.USER),),
        )
    )
    await outside.keys.refresh(ISSUER)
    tokens = await _issuer(outside)
    pilot, _ = tokens.pilot_token("p1", "ctao", "PIC", "local")
    bare = _Bare(pilot)
    more = [_lookup_us(tokens.caller, pilot) - _lookup_us(bare.caller, pilot) for _ in _rounds()]
    return [
        figure("identity", "own token from memory, beyond a bare lookup", median(more), "µs"),
        figure(
            "identity", "token of a provider, ES256, first seen", _first_ms(tokens, "ES256"), "ms"
        ),
        figure(
            "identity", "token of a provider, RS256, first seen", _first_ms(tokens, "RS256"), "ms"
        ),
    ]


async def _issuer(outside: Outside) -> TokenIssuer:
    clock = SystemClock()
    return await open_tokens(
        Path("/data"),
        store=MemoryStore(clock_wall=clock.wall),
        disk=FakeDisk(),
        clock=clock,
        randomness=SystemRandomness(),
        issuer="https://central.test",
        audience="pilotage",
        outside=outside.tokens,
    )


class _Bare:
    """The least that a lookup must do: hash the token, find it, and look at the clock."""

    def __init__(self, token: str) -> None:
        self._known = {hashlib.sha256(token.encode()).digest(): (object(), time.time() + 86_400)}
        self._clock = SystemClock()

    def caller(self, token: str) -> object:
        now = self._clock.wall()
        caller, expires_at = self._known[hashlib.sha256(token.encode()).digest()]
        if now >= expires_at:
            raise KeyError(token)
        return caller


def _rounds() -> range:
    return range(ROUNDS)


def _lookup_us(caller: Callable[[str], object], token: str) -> float:
    caller(token)
    began = time.perf_counter()
    for _ in range(CALLS):
        caller(token)
    return (time.perf_counter() - began) / CALLS * 1e6


def _first_ms(tokens: TokenIssuer, algorithm: str) -> float:
    """Return the median time of the first look at a token."""
    times: list[float] = []
    for token in _outside_tokens(algorithm):
        began = time.perf_counter()
        tokens.caller(token)
        times.append((time.perf_counter() - began) * 1_000)
    return median(times)


def _outside_tokens(algorithm: str) -> Sequence[str]:
    key: AnyKey = ec_key(EC_KID) if algorithm == "ES256" else rsa_key(RSA_KID)
    kid = EC_KID if algorithm == "ES256" else RSA_KID
    now = int(time.time())
    return [
        signed(
            {"alg": algorithm, "kid": kid, "typ": "at+jwt"},
            msgspec.json.encode(
                {
                    "iss": ISSUER,
                    "sub": f"person {number}",
                    "aud": AUDIENCE,
                    "iat": now,
                    "nbf": now,
                    "exp": now + 3_600,
                    "jti": f"{algorithm} {number}",
                    "wlcg.ver": "1.0",
                    "wlcg.groups": ["/ctao/prod", "/ctao/lst"],
                }
            ),
            key,
            algorithm,
        )
        for number in range(FIRST)
    ]
