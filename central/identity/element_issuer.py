"""The issuer of tokens for compute elements, with separate keys.

A site that trusts this issuer accepts tokens of the factory, but no token of a user or a pilot. The
first key is made when it is first needed. A new key is published for four days before it signs,
because sites keep keys for so long (WLCG profile 1.3). Old keys stay published until the tokens
that they signed have expired.
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
PATH: Final = "/elements"  # appended to the central's URL, it names the issuer
KEYS_PATH: Final = f"{PATH}/jwks.json"
METADATA_PATH: Final = f"{PATH}/.well-known/openid-configuration"
AHEAD_S: Final = 4 * keys.DAY_S
LIFE: Final = keys.KeyLife(AHEAD_S, kept_s=2 * keys.DAY_S)  # tokens live for a day at most


@dataclass(frozen=True)
class IssuerDocuments:
    """The documents that sites fetch: metadata (OpenID Connect Discovery) and the keys."""

    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    jwks: dict[str, Any] = field(default_factory=lambda: {"keys": list[Any]()})


class ElementIssuer:
    """Signs with the keys of a data directory. It looks at their file at each use."""

    def __init__(
        self,
        data: Path,
        central_url: Callable[[], str],
        *,
        disk: Disk,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._central_url, self._randomness = central_url, randomness
        self._keys = keys.SigningKeys(
            data / FILE, LIFE, disk=disk, clock=clock, randomness=randomness
        )

    @property
    def name(self) -> str:
        """The default issuer claim of its tokens."""
        return self._central_url().rstrip("/") + PATH

    def published(self) -> IssuerDocuments:
        """Return the public documents. Raises BadKeyFile, OSError."""
        url = self._central_url().rstrip("/")
        metadata = {
            "issuer": self.name,
            "jwks_uri": url + KEYS_PATH,
            "id_token_signing_alg_values_supported": [ALGORITHM],
        }
        if not self._keys.look():
            return IssuerDocuments(metadata)
        return IssuerDocuments(metadata, self._keys.stored.jwks())

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return a token with these claims and a new id. Raises BadKeyFile, OSError."""
        self._keys.load()
        key = self._keys.signing()
        header = {"alg": ALGORITHM, "typ": "JWT", "kid": key.kid}
        payload = msgspec.json.encode({**claims, "jti": self._randomness.token(16)})
        return jws.serialize_compact(header, payload, key, [ALGORITHM])

    def rotate(self) -> None:
        """Make a key that begins to sign after AHEAD_S seconds.

        Raises BadKeyFile, TooManyKeys, OSError.
        """
        self._keys.rotate()

    def make(self) -> None:
        """Make the first key if there is none. Raises BadKeyFile, OSError."""
        self._keys.load()
