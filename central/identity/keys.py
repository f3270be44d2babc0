"""Keys that sign tokens (ES256), made when they are first needed, in a file with mode 0600.

A new key is published before it signs, so that verifiers know it in time. Older keys still verify
the tokens that they signed, until the last of those has expired. JWKS shows the public parts.
"""

import enum
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from ..ports import Clock, Disk, Randomness
from .base64url import decoded, encoded
from .errors import BadKeyFile, TooManyKeys

FILE: Final = "signing-keys.json"
KEYS_MAX: Final = 64
LOOK_S: Final = 1.0
DAY_S: Final = 86_400.0
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256


@dataclass(frozen=True)
class KeyLife:
    """The seconds for which a key is published before and after it signs."""

    ahead_s: float  # before: verifiers learn of the key
    kept_s: float  # after: the last token that it signed expires


# All processes of a central look at the file each second; over NFS they see it a minute later.
# The administrator's token lives for 366 days.
OF_TOKENS: Final = KeyLife(ahead_s=600.0, kept_s=400 * DAY_S)


class KeyUse(enum.Enum):
    """The present use of a key."""

    WAITS = "waits"  # published, but it does not sign yet
    SIGNS = "signs"
    VERIFIES = "verifies"  # it no longer signs


class _Jwk(msgspec.Struct, frozen=True, kw_only=True):
    """One private key in the form of RFC 7517."""

    kty: str
    crv: str
    x: str
    y: str
    d: str
    kid: str
    made_at: float  # wall clock


class _KeyFile(msgspec.Struct, frozen=True, kw_only=True):
    keys: list[_Jwk]  # newest first


class StoredKeys:
    """The keys of a file, as they were read."""

    def __init__(self, path: Path, stored: Sequence[_Jwk]) -> None:
        self._stored = stored
        self._keys = {one.kid: _import(one, path) for one in stored}

    def find(self, kid: str) -> ECKey | None:
        """Return the key with this id, for verification."""
        return self._keys.get(kid)

    def made_by(self, at: float) -> ECKey:
        """Return the newest key made at or before `at`, else the oldest key."""
        return self._keys[self._made_by(at).kid]

    def _made_by(self, at: float) -> _Jwk:
        return next((one for one in self._stored if one.made_at <= at), self._stored[-1])

    def uses(self, life: KeyLife, now: float) -> list[tuple[KeyUse, float]]:
        """Return the use of each key and the moment at which it begins to sign, newest first."""
        signs = self._made_by(now - life.ahead_s)
        place = self._stored.index(signs)
        return [
            (
                KeyUse.SIGNS if at == place else KeyUse.WAITS if at < place else KeyUse.VERIFIES,
                one.made_at + life.ahead_s,
            )
            for at, one in enumerate(self._stored)
        ]

    def jwks(self) -> dict[str, Any]:
        """Return the public parts of the keys (RFC 7517), newest first."""
        return {
            "keys": [
                {
                    "kty": one.kty,
                    "crv": one.crv,
                    "x": one.x,
                    "y": one.y,
                    "kid": one.kid,
                    "use": "sig",
                    "alg": "ES256",
                }
                for one in self._stored
            ]
        }

    def needed(self, life: KeyLife, now: float) -> list[_Jwk]:
        """Return the stored keys that may have signed a valid token, newest first."""
        above = (float("inf"), *(one.made_at + life.ahead_s for one in self._stored))
        return [
            one
            for one, ended_at in zip(self._stored, above, strict=False)
            if ended_at + life.kept_s > now
        ]


class SigningKeys:
    """The keys of one file, read again when it changes. `load` makes the object.

    Several threads may use it. Another process may add a key at any time.
    """

    def __init__(
        self, path: Path, life: KeyLife, *, disk: Disk, clock: Clock, randomness: Randomness
    ) -> None:
        self._path, self._life = path, life
        self._disk, self._clock, self._randomness = disk, clock, randomness
        self._version: tuple[int, ...] | None = None
        self._look_at = 0.0  # clock.monotonic()
        self._read: StoredKeys | None = None

    @property
    def stored(self) -> StoredKeys:
        """The keys as they were read last."""
        assert self._read is not None, "they were read before"
        return self._read

    def signing(self) -> ECKey:
        """Return the key that signs now."""
        return self.stored.made_by(self._clock.wall() - self._life.ahead_s)

    def look(self) -> bool:
        """Read the file if it has changed; return False if it is missing.

        Raises BadKeyFile, OSError.
        """
        version = self._disk.version(self._path)
        if version is not None and version == self._version:
            return True
        content = self._disk.read(self._path)
        if content is None:
            return False
        # In this order: another thread that sees the version also sees its keys.
        self._read = _parsed(self._path, content)
        self._version = version
        return True

    def load(self) -> None:
        """Read the file if it has changed; make it with a first key if it is missing.

        Raises BadKeyFile, OSError.
        """
        if not self.look():
            made = _KeyFile(keys=[_make(self._clock, self._randomness)])
            content = self._disk.make_secret(self._path, msgspec.json.encode(made))
            self._read = _parsed(self._path, content)

    def refresh(self) -> None:
        """Read the file if it has changed. Looks at it at most every LOOK_S seconds.

        If the file is missing or unreadable, the last keys stay in use.
        """
        now = self._clock.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_S
        with suppress(BadKeyFile, OSError):
            self.look()

    def rotate(self) -> None:
        """Write a new key, which signs after `life.ahead_s` seconds, and drop expired keys.

        Raises BadKeyFile, TooManyKeys, OSError.
        """
        self.load()
        now = self._clock.wall()
        stored = [_make(self._clock, self._randomness), *self.stored.needed(self._life, now)]
        if len(stored) > KEYS_MAX:
            raise TooManyKeys(str(self._path), KEYS_MAX, kept_s=self._life.kept_s)
        self._disk.write_secret(self._path, msgspec.json.encode(_KeyFile(keys=stored)))
        self.load()


def load(
    data: Path,
    *,
    disk: Disk,
    clock: Clock,
    randomness: Randomness,
    name: str = FILE,
    life: KeyLife = OF_TOKENS,
) -> SigningKeys:
    """Read the keys of the data directory; make the first one if there is no file.

    Raises BadKeyFile if the file is unreadable, because new keys would invalidate every token.
    """
    keys = SigningKeys(data / name, life, disk=disk, clock=clock, randomness=randomness)
    keys.load()
    return keys


def find(data: Path, *, disk: Disk, name: str = FILE) -> StoredKeys | None:
    """Read the keys of the data directory, if there are any. Raises BadKeyFile."""
    content = disk.read(data / name)
    return None if content is None else _parsed(data / name, content)


def _parsed(path: Path, content: bytes) -> StoredKeys:
    try:
        stored = msgspec.json.decode(content, type=_KeyFile).keys
    except msgspec.DecodeError as why:
        raise BadKeyFile(str(path), str(why)) from None
    if not stored:
        raise BadKeyFile(str(path), "it holds no key")
    return StoredKeys(path, stored)


def _make(clock: Clock, randomness: Randomness) -> _Jwk:
    # 16 bytes more than the order has, so that the modulo has no measurable bias.
    drawn = int.from_bytes(decoded(randomness.token(48)), "big")
    numbers = ec.derive_private_key(drawn % (_ORDER - 1) + 1, ec.SECP256R1()).private_numbers()
    public = numbers.public_numbers
    return _Jwk(
        kty="EC",
        crv="P-256",
        x=_text(public.x),
        y=_text(public.y),
        d=_text(numbers.private_value),
        kid=randomness.token(9),
        made_at=clock.wall(),
    )


def _import(one: _Jwk, path: Path) -> ECKey:
    both: dict[str, str | list[str]] = {
        "kty": one.kty,
        "crv": one.crv,
        "x": one.x,
        "y": one.y,
        "d": one.d,
        "kid": one.kid,
    }
    try:
        return ECKey.import_key(both)
    except (ValueError, JoseError) as why:
        raise BadKeyFile(str(path), str(why)) from None


def _text(number: int) -> str:
    return encoded(number.to_bytes(32, "big"))
