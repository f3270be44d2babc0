"""Base64url without padding (RFC 4648, 5; RFC 7515, 2)."""

import base64
import binascii
from typing import Final

_OF_URLS: Final = bytes.maketrans(b"+/", b"-_")


def encoded(octets: bytes) -> str:
    """Return octets as text. Each match of a job needs two texts, so it must be fast."""
    return binascii.b2a_base64(octets, newline=False).translate(_OF_URLS).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    """Return the octets of a text; other letters are ignored. Raises ValueError."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
