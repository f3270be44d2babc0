"""Encrypts refresh tokens of providers, so that a copy of the store cannot use them.

The key is derived from a key file of the data directory, which a backup does not contain. A cipher
text belongs to its session: moved to another row, it cannot be read.
"""

import base64
import binascii
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ...ports import Randomness
from ..base64url import decoded

_NONCE: Final = 12  # bytes, of AES-GCM


class UnreadableSecret(Exception):
    """A cipher text was made with another key, or for another session."""


class TokenCipher:
    """AES-256-GCM with a random nonce for each text."""

    def __init__(self, key: bytes, randomness: Randomness) -> None:
        self._cipher, self._randomness = AESGCM(key), randomness

    def encrypt(self, text: str, session: str) -> str:
        """Return the cipher text as base64; empty for an empty text."""
        if not text:
            return ""
        nonce = decoded(self._randomness.token(_NONCE))[:_NONCE]
        sealed = self._cipher.encrypt(nonce, text.encode(), session.encode())
        return base64.b64encode(nonce + sealed).decode()

    def decrypt(self, sealed: str, session: str) -> str:
        """Return the text of a cipher text. Raises UnreadableSecret."""
        if not sealed:
            return ""
        try:
            raw = base64.b64decode(sealed, validate=True)
            return self._cipher.decrypt(raw[:_NONCE], raw[_NONCE:], session.encode()).decode()
        except (InvalidTag, ValueError, binascii.Error):
            raise UnreadableSecret from None
