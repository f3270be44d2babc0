"""The keys of the tokens for elements, as an operator shows and rotates them."""

from pathlib import Path
from typing import Any

from ..identity.element_issuer import ElementIssuer
from .clocks import SystemClock, SystemRandomness
from .files import RealDisk


def published(data: Path, *, rotate: bool = False) -> dict[str, Any]:
    """Return the public keys of an installation, with a new one. Raises BadKeyFile, OSError."""
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
