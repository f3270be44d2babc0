"""Reads the public keys of a provider: a JSON Web Key Set (RFC 7517). Pure.

Two kinds of keys are used: P-256 for ES256, and RSA of at least 2048 bits for RS256. A key with an
error is skipped, and only the tokens that it signed are refused.
"""

from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from pilotage.proto.decoding.complaints import short

from ..base64url import decoded
from ..strict_tokens import ES256, RS256, VerificationKey
from .provider_http import BadProvider

KEYS_MAX: Final = 100
KID_MAX: Final = 256
RSA_BITS_MIN: Final = 2_048
RSA_BITS_MAX: Final = 8_192  # larger ones only cost time
SKIPPED_MAX: Final = 10  # in the log
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class _Document(msgspec.Struct, frozen=True):
    keys: list[Any]


class KeySet(msgspec.Struct, frozen=True):
    """The usable keys by `kid`, and why others are not used."""

    keys: Mapping[str, VerificationKey]
    skipped: tuple[str, ...] = ()


class _Unusable(Exception):
    """The key is not used; the message says why."""


def read_key_set(document: Mapping[str, Any]) -> KeySet:
    """Return the keys of a set, which may be empty. Raises BadProvider if it is not a set.

    If two different keys have one `kid`, neither is used, because a token could mean either.
    """
    try:
        entries = msgspec.convert(document, _Document).keys
    except msgspec.ValidationError:
        raise BadProvider("its key set has no list `keys` (RFC 7517)") from None
    found: dict[str, VerificationKey] = {}
    doubled: set[str] = set()
    skipped: list[str] = []
    for number, entry in enumerate(entries[:KEYS_MAX]):
        try:
            if _is_for_encryption(entry):
                continue
            kid, key = _key(entry)
        except _Unusable as why:
            skipped.append(f"{_name(entry, number)}: {why}")
            continue
        first = found.setdefault(kid, key)
        if first.key.thumbprint() != key.key.thumbprint():
            doubled.add(kid)
    for kid in sorted(doubled):
        del found[kid]
        skipped.append(f"{short(repr(kid))}: two keys have this kid")
    if len(entries) > KEYS_MAX:
        skipped.insert(0, f"it has {len(entries)} keys; only the first {KEYS_MAX} are read")
    return KeySet(found, tuple(skipped[:SKIPPED_MAX]))


def _is_for_encryption(entry: Any) -> bool:
    """Return whether a key is for encryption only; many providers publish such keys."""
    return isinstance(entry, dict) and cast("dict[str, Any]", entry).get("use") == "enc"


def _key(entry: Any) -> tuple[str, VerificationKey]:
    """Return the `kid` and the key. Raises _Unusable."""
    if not isinstance(entry, dict):
        raise _Unusable("it is not an object")
    fields = cast("dict[str, Any]", entry)
    kid: Any = fields.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= KID_MAX:
        raise _Unusable(f"its kid is not a text of 1 to {KID_MAX} characters")
    if not _PRIVATE.isdisjoint(fields):
        raise _Unusable("it is a secret or a private key, and everyone can read it")
    if fields.get("use", "sig") != "sig":
        raise _Unusable(f"its use is {short(repr(fields['use']))}, not sig")
    operations: Any = fields.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise _Unusable("its key_ops do not have verify")
    algorithm = _algorithm(fields)
    try:
        key = _ec(fields) if algorithm == ES256 else _rsa(fields)
    except (JoseError, ValueError, TypeError, KeyError, OverflowError):
        raise _Unusable("its numbers are not those of a key") from None
    return kid, VerificationKey(algorithm, key)


def _algorithm(fields: dict[str, Any]) -> str:
    """Return the only algorithm that may use a key. Raises _Unusable."""
    kind = {"EC": ES256, "RSA": RS256}.get(str(fields.get("kty")))
    said: Any = fields.get("alg", kind)
    if kind is None or said != kind or (kind == ES256 and fields.get("crv") != "P-256"):
        words = (fields[name] for name in ("kty", "crv", "alg") if name in fields)
        shown = " ".join(short(str(one)) for one in words)
        raise _Unusable(f"its algorithm ({shown}) is not supported: use {ES256} or {RS256}")
    return kind


def _ec(fields: dict[str, Any]) -> ECKey:
    x, y = _text(fields["x"]), _text(fields["y"])
    return ECKey.import_key({"kty": "EC", "crv": "P-256", "x": x, "y": y})


def _rsa(fields: dict[str, Any]) -> RSAKey:
    n, e = _text(fields["n"]), _text(fields["e"])
    bits = int.from_bytes(decoded(n), "big").bit_length()
    if not RSA_BITS_MIN <= bits <= RSA_BITS_MAX:
        raise _Unusable(f"it has {bits} bits; expected {RSA_BITS_MIN} to {RSA_BITS_MAX}")
    return RSAKey.import_key({"kty": "RSA", "n": n, "e": e})


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _name(entry: Any, number: int) -> str:
    kid: Any = cast("dict[str, Any]", entry).get("kid") if isinstance(entry, dict) else None
    return short(repr(kid)) if isinstance(kid, str) else f"key {number}"
