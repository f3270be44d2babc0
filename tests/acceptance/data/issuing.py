"""The issuer of a central that does not run yet: servers must know its keys before it starts."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from pilotage.central.identity.element_issuer import ElementIssuer
from pilotage.central.operate.clocks import SystemClock, SystemRandomness
from pilotage.central.operate.files import RealDisk
from tests.services.authority import make_authority

ISSUER: Final = "https://central.test/elements"


class Prepared(NamedTuple):
    """The folder of a central that does not run yet, and what its storages have to know of it."""

    data: Path
    keys: Mapping[str, str]  # by issuer
    authority: Path  # of the certificates of servers


def prepared(folder: Path, site: str, patch: pytest.MonkeyPatch) -> Prepared:
    """Make the folder of the central below `folder`/`site`, and an authority that all trust."""
    data, authority = folder / site / "central", folder / "ca"
    (data / "storages").mkdir(parents=True)
    data.chmod(0o700)
    authority.mkdir()
    make_authority(authority)
    patch.setenv("X509_CERT_DIR", str(authority / "trusted"))
    return Prepared(data, {ISSUER: _published_keys(data)}, authority)


def _published_keys(data: Path) -> str:
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
