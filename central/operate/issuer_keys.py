"""The keys of both issuers of an installation, for operators to show and rotate."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..identity import element_issuer, keys
from ..observe.times import shown
from .clocks import SystemClock, SystemRandomness
from .files import RealDisk


@dataclass(frozen=True)
class PublicKeys:
    """The public keys of an issuer, newest first."""

    jwks: dict[str, Any]  # RFC 7517
    uses: tuple[str, ...]  # of each key, as a phrase


def of_elements(data: Path, *, rotate: bool = False) -> PublicKeys:
    """Return the keys of tokens for elements, after a rotation if `rotate`. The first is made.

    Raises BadKeyFile, TooManyKeys, OSError.
    """
    return _public(data, element_issuer.FILE, element_issuer.LIFE, rotate=rotate)


def of_tokens(data: Path, *, rotate: bool = False) -> PublicKeys | None:
    """Return the keys of tokens of users and pilots, or None: the first start makes them.

    With `rotate`, they are rotated first. Raises BadKeyFile, TooManyKeys, OSError.
    """
    if RealDisk().version(data / keys.FILE) is None:
        return None
    return _public(data, keys.FILE, keys.OF_TOKENS, rotate=rotate)


def _public(data: Path, name: str, life: keys.KeyLife, *, rotate: bool) -> PublicKeys:
    disk, clock, randomness = RealDisk(), SystemClock(), SystemRandomness()
    found = keys.load(data, disk=disk, clock=clock, randomness=randomness, name=name, life=life)
    if rotate:
        found.rotate()
    uses = found.stored.uses(life, clock.wall())
    return PublicKeys(found.stored.jwks(), tuple(_phrase(*use) for use in uses))


def _phrase(use: keys.KeyUse, signs_from: float) -> str:
    if use is keys.KeyUse.WAITS:
        return f"signs from {shown(signs_from)}"
    return "signs" if use is keys.KeyUse.SIGNS else "verifies older tokens"
