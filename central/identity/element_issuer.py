"""The issuer of the tokens by which sites' elements know this installation, with keys of its own.

Whoever trusts it trusts what the factory signs, and no token of a person or a pilot. Its keys are
made when they are first needed. A new one is shown to sites for a day before it signs, since they
keep what they have fetched; the old ones stay, so that what they have signed is good to its end.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
from joserfc import jws

from ..ports import Clock, Disk, Randomness
from . import keys
from .verification import ALGORITHM

FILE: Final = "element-keys.json"
PATH: Final = "/elements"  # beneath the central's URL: who the issuer is
KEYS_PATH: Final = f"{PATH}/jwks.json"
METADATA_PATH: Final = f"{PATH}/.well-known/openid-configuration"
AHEAD_S: Final = 86_400.0


@dataclass(frozen=True)
class IssuerDocuments:
    """What sites fetch of an issuer: where its keys are (OpenID Connect Discovery), and these."""

    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    jwks: dict[str, Any] = field(default_factory=lambda: {"keys": list[Any]()})


class ElementIssuer:
    """Signs with the keys of a data directory, read at each use: others may have renewed them."""

    def __init__(
        self,
        data: Path,
        central_url: Callable[[], str],
        *,
        disk: Disk,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._data, self._central_url = data, central_url
        self._disk, self._clock, self._randomness = disk, clock, randomness

    @property
    def name(self) -> str:
        """Who its tokens say that made them, where nothing else is said."""
        return self._central_url().rstrip("/") + PATH

    def published(self) -> IssuerDocuments:
        """Return what everybody may know. Raises BadKeyFile."""
        url = self._central_url().rstrip("/")
        metadata = {
            "issuer": self.name,
            "jwks_uri": url + KEYS_PATH,
            "id_token_signing_alg_values_supported": [ALGORITHM],
        }
        found = keys.find(self._data, disk=self._disk, name=FILE)
        return (
            IssuerDocuments(metadata) if found is None else IssuerDocuments(metadata, found.jwks())
        )

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return a token with these claims and an id of its own. Raises BadKeyFile, OSError."""
        key = self._keys().made_by(self._clock.wall() - AHEAD_S)
        header = {"alg": ALGORITHM, "typ": "JWT", "kid": key.kid}
        payload = msgspec.json.encode({**claims, "jti": self._randomness.token(16)})
        return jws.serialize_compact(header, payload, key, [ALGORITHM])

    def rotate(self) -> None:
        """Make a key that signs from AHEAD_S on. Raises BadKeyFile, OSError."""
        self._keys().rotate(disk=self._disk, clock=self._clock, randomness=self._randomness)

    def make(self) -> None:
        """Make the first key, where there is none. Raises BadKeyFile, OSError."""
        self._keys()

    def _keys(self) -> keys.SigningKeys:
        return keys.load(
            self._data,
            disk=self._disk,
            clock=self._clock,
            randomness=self._randomness,
            name=FILE,
        )
