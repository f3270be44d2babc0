"""The keys that sign tokens for elements, for operators to show and rotate."""

from pathlib import Path
from typing import Any

from ..identity.element_issuer import ElementIssuer
from .clocks import SystemClock, SystemRandomness
from .files import RealDisk


def published(data: Path, *, rotate: bool = False) -> dict[str, Any]:
    """Return the public keys of an installation, after a rotation if `rotate`.

    Raises BadKeyFile, OSError.
    """
    issuer = ElementIssuer(
        data,
        lambda: "",
        disk=RealDisk(),
        clock=SystemClock(),
        randomness=SystemRandomness(),
    )
    issuer.make()
    if rotate:
        issuer.rotate()
    return issuer.published().jwks
