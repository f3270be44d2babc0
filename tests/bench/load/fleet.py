"""Simulated pilots: registered for good, with tokens of their own, on some sites."""

import ssl
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import msgspec

from pilotage.proto.messages import BrokerLogin, Node, Register, Registered

from .wire import head, request, run_errands

SITES = ("CSCS", "PIC", "DESY", "FRASCATI")  # the four data centres
A_CALL = 1_000
NODE = Node(host="node", os="el9", architecture_level=3, glibc="2.34", isolation="bwrap")


@dataclass(frozen=True)
class Member:
    """One pilot of a fleet, as it knows itself."""

    pilot: str
    community: str
    gen: str
    session: int
    token: str
    broker: BrokerLogin | None


class _Secrets(msgspec.Struct):
    secrets: list[dict[str, str]]


async def enlist(
    url: str, token: str, count: int, *, tls: ssl.SSLContext | None = None
) -> list[Member]:
    """Register `count` pilots, spread over the sites."""
    made: list[str] = []

    def take(body: bytes) -> None:
        made.extend(one["secret"] for one in msgspec.json.decode(body, type=_Secrets).secrets)

    await run_errands(
        url,
        [(request(head("/v1/pilots/secrets", token), body), take) for body in _wanted(count)],
        connections=1,
        tls=tls,
    )
    members: list[Member] = []
    await run_errands(
        url, (_register(secret, members.append) for secret in made), connections=16, tls=tls
    )
    return members


def _wanted(count: int) -> list[bytes]:
    """Return the bodies that ask for so many secrets."""
    bodies: list[bytes] = []
    for at, site in enumerate(SITES):
        left = count // len(SITES) + (at < count % len(SITES))
        while left > 0:
            body = {"site": site, "element": "batch", "count": min(left, A_CALL)}
            bodies.append(msgspec.json.encode(body))
            left -= A_CALL
    return bodies


def _register(secret: str, take: Callable[[Member], None]) -> tuple[bytes, Callable[[bytes], None]]:
    message = Register(secret=secret, nonce=uuid.uuid4().hex, node=NODE)
    said = request(head("/v1/pilots/register"), msgspec.json.encode(message))
    return said, partial(_registered, take)


def _registered(take: Callable[[Member], None], body: bytes) -> None:
    known = msgspec.json.decode(body, type=Registered)
    take(
        Member(
            pilot=known.pilot,
            community=known.community,
            gen=known.gen,
            session=known.session,
            token=known.token,
            broker=known.broker,
        )
    )
