"""Until when a credential is good, by its own word, which nobody verifies but its element."""

import base64
import binascii

import msgspec
from cryptography import x509


class _Claims(msgspec.Struct):
    exp: float | None = None


def expires_at(text: str) -> float | None:
    """Return when a JSON web token or an X.509 chain in PEM ends, None where it does not say."""
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
    """The first certificate that runs out ends the chain."""
    try:
        found = x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        return None
    return min(one.not_valid_after_utc.timestamp() for one in found)
