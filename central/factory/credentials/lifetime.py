"""The end of a credential's life as the credential states it; only its element verifies it."""

import base64
import binascii

import msgspec
from cryptography import x509


class _Claims(msgspec.Struct):
    exp: float | None = None


def expires_at(text: str) -> float | None:
    """Return the expiry of a JSON web token or of an X.509 chain in PEM; None if unknown."""
    if text.lstrip().startswith("-----BEGIN"):
        return _of_chain(text)
    parts = text.strip().split(".")
    if len(parts) != 3:
        return None
    try:
        padded = parts[1] + "=" * (-len(parts[1]) % 4)
        return msgspec.json.decode(base64.urlsafe_b64decode(padded), type=_Claims).exp
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        return None


def _of_chain(text: str) -> float | None:
    """Return the earliest expiry of the certificates."""
    try:
        found = x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        return None
    return min(one.not_valid_after_utc.timestamp() for one in found)
