"""The issuer of a central that does not run yet: servers must know its keys before it starts."""

import json
from pathlib import Path
from typing import Final

from pilotage.central.identity.element_issuer import ElementIssuer
from pilotage.central.operate.clocks import SystemClock, SystemRandomness
from pilotage.central.operate.files import RealDisk

ISSUER: Final = "https://central.test/elements"


def published_keys(data: Path) -> str:
    """Return the public keys with which a central in this folder will sign."""
    issuer = ElementIssuer(
        data,
        lambda: ISSUER.removesuffix("/elements"),
        disk=RealDisk(),
        clock=SystemClock(),
        randomness=SystemRandomness(),
    )
    issuer.make()
    return json.dumps(issuer.published().jwks)
