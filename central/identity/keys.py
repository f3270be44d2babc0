"""The central's signing keys (ES256), made at the first start in a file with mode 0600.

The newest key signs. Older keys still verify the tokens that they signed. JWKS shows the public
parts.
"""

import base64
from pathlib import Path
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from ..ports import Clock, Disk, Randomness
from .errors import BadKeyFile

FILE: Final = "signing-keys.json"
KEYS_MAX: Final = 8
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256


class _Jwk(msgspec.Struct, frozen=True, kw_only=True):
    """One private key in the form of RFC 7517."""

    kty: str
    crv: str
    x: str
    y: str
    d: str
    kid: str
    made_at: float


class _KeyFile(msgspec.Struct, frozen=True, kw_only=True):
    keys: list[_Jwk]  # newest first


class SigningKeys:
    """The keys of one central. `load` makes the object."""

    def __init__(self, path: Path, stored: list[_Jwk]) -> None:
        self._path = path
        self._stored = stored
        self._keys = {one.kid: _import(one, path) for one in stored}

    @property
    def newest(self) -> ECKey:
        """The key that signs."""
        return self._keys[self._stored[0].kid]

    @property
    def kid(self) -> str:
        return self._stored[0].kid

    def made_by(self, at: float) -> ECKey:
        """Return the newest key made at or before `at`, else the oldest key."""
        kid = next((one.kid for one in self._stored if one.made_at <= at), self._stored[-1].kid)
        return self._keys[kid]

    def find(self, kid: str) -> ECKey | None:
        """Return the key with this id, for verification."""
        return self._keys.get(kid)

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

    def rotate(self, *, disk: Disk, clock: Clock, randomness: Randomness) -> None:
        """Write a new key, then sign with it. Keys beyond KEYS_MAX are dropped, oldest first."""
        stored = [_make(clock, randomness), *self._stored][:KEYS_MAX]
        disk.write_secret(self._path, msgspec.json.encode(_KeyFile(keys=stored)))
        self._stored = stored
        self._keys = {one.kid: _import(one, self._path) for one in stored}


def load(
    data: Path, *, disk: Disk, clock: Clock, randomness: Randomness, name: str = FILE
) -> SigningKeys:
    """Read the keys of the data directory; make the first one if there is no file.

    Raises BadKeyFile if the file is unreadable, because new keys would invalidate every token.
    """
    kept = find(data, disk=disk, name=name)
    if kept is not None:
        return kept
    made = _KeyFile(keys=[_make(clock, randomness)])
    return _read(data / name, disk.make_secret(data / name, msgspec.json.encode(made)))


def find(data: Path, *, disk: Disk, name: str = FILE) -> SigningKeys | None:
    """Read the keys of the data directory, if there are any. Raises BadKeyFile."""
    content = disk.read(data / name)
    return None if content is None else _read(data / name, content)


def _read(path: Path, content: bytes) -> SigningKeys:
    try:
        stored = msgspec.json.decode(content, type=_KeyFile).keys
    except msgspec.DecodeError as why:
        raise BadKeyFile(str(path), str(why)) from None
    if not stored:
        raise BadKeyFile(str(path), "it holds no key")
    return SigningKeys(path, stored)


def _make(clock: Clock, randomness: Randomness) -> _Jwk:
    # 16 bytes more than the order has, so that the modulo has no measurable bias.
    drawn = int.from_bytes(_bytes(randomness.token(48)), "big")
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
    return base64.urlsafe_b64encode(number.to_bytes(32, "big")).rstrip(b"=").decode()


def _bytes(token: str) -> bytes:
    return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
