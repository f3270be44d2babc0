"""Secrets derived from one key by HMAC. Only the central can make them, and it need not store them.

They are the tokens of running attempts, the passwords on the bus, and the renewal secrets of pilots
and logins.
A restore makes a new key, so secrets issued after the backup are no longer valid: pilots register
again, and people log in again.

An ES256 signature for each attempt would cost half of the CPU time that a job may cost. A token
names its job and epoch, so that an older attempt cannot act as a newer one.
"""

import hashlib
import hmac
from pathlib import Path
from typing import Final

from pilotage.proto.ids import ID_MAX

from ..ports import Disk, Randomness
from .base64url import decoded, encoded
from .callers import AttemptCaller
from .errors import BadKeyFile, BadToken, ExpiredToken

FILE: Final = "attempt-key"
PREFIX: Final = "pa1."
RENEWAL_PREFIX: Final = "pr1."
NUMBER_DIGITS: Final = 9
_KEY_BYTES_MIN: Final = 32
_BLOCK: Final = 64  # bytes of a block of SHA-256
_MAC_TEXT: Final = 43  # base64 of 32 bytes without padding


class DerivedSecrets:
    """Makes the secrets of one key, and reads attempt tokens."""

    def __init__(self, key: bytes) -> None:
        # HMAC as its two hashes, each already fed with its pad (RFC 2104).
        short = hashlib.sha256(key).digest() if len(key) > _BLOCK else key
        padded = short.ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(octet ^ 0x36 for octet in padded))
        self._outer = hashlib.sha256(bytes(octet ^ 0x5C for octet in padded))

    def make(self, job: int, epoch: int, attempt_id: int, community: str, expires_at: float) -> str:
        """Return the token of an attempt, valid until `expires_at` (wall clock)."""
        facts = f"{job},{epoch},{attempt_id},{int(expires_at)},{community}"
        body = encoded(facts.encode())
        return f"{PREFIX}{body}.{self._mac(body.encode())}"

    def read(self, token: str, now: float) -> AttemptCaller:
        """Return the attempt that a token belongs to. Raises BadToken, ExpiredToken."""
        body, dot, mac = token[len(PREFIX) :].partition(".")
        if not dot or len(mac) != _MAC_TEXT or not token.isascii():
            raise BadToken
        if not hmac.compare_digest(mac, self._mac(body.encode())):
            raise BadToken
        try:  # a body with our MAC was written by `make`; the extra checks are cheap
            facts = decoded(body).decode()
            job, epoch, attempt_id, expires_at, community = facts.split(",", 4)
            numbers = int(job), int(epoch), int(attempt_id)
            ends_at = int(expires_at)
        except ValueError:
            raise BadToken from None
        if now >= ends_at:
            raise ExpiredToken(f"job {numbers[0]}", ends_at)
        if any(not 0 <= number <= ID_MAX for number in numbers):
            raise BadToken
        return AttemptCaller(
            job=numbers[0], epoch=numbers[1], attempt_id=numbers[2], community=community
        )

    def broker_password(self, community: str, pilot: str) -> str:
        """Return the bus password of a pilot. Its prefix prevents its use as a token."""
        return self._mac(f"broker:{community}:{pilot}".encode())

    def renewal_secret(self, secret: str, nonce: str) -> str:
        """Return the only renewal secret of a pilot that registers with protocol 1.0."""
        return self._mac(f"renewal:{nonce}:{secret}".encode())

    def numbered_secret(self, pilot: str, number: int) -> str:
        """Return a pilot's renewal secret `number`, from 1. Its text contains the number."""
        return f"{RENEWAL_PREFIX}{number}.{self._mac(f'renewals:{number}:{pilot}'.encode())}"

    def secret_number(self, pilot: str, secret: str) -> int | None:
        """Return the number of a renewal secret, or None if it is not this pilot's."""
        number, _, _ = secret.removeprefix(RENEWAL_PREFIX).partition(".")
        if not (number.isascii() and number.isdecimal() and len(number) <= NUMBER_DIGITS):
            return None
        genuine = self.numbered_secret(pilot, int(number))
        return int(number) if hmac.compare_digest(genuine.encode(), secret.encode()) else None

    def cipher_key(self, purpose: str) -> bytes:
        """Return a secret key of 32 bytes, another one for each purpose."""
        return decoded(self._mac(f"cipher:{purpose}".encode()))

    def _mac(self, body: bytes) -> str:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(body)
        outer.update(inner.digest())
        return encoded(outer.digest())


def load(data: Path, *, disk: Disk, randomness: Randomness) -> DerivedSecrets:
    """Read the key of the data directory; make it if it is missing. Raises BadKeyFile."""
    path = data / FILE
    content = disk.read(path)
    if content is None:
        content = disk.make_secret(path, randomness.token(48).encode())
    if len(content) < _KEY_BYTES_MIN:
        raise BadKeyFile(str(path), f"it has fewer than {_KEY_BYTES_MIN} bytes")
    return DerivedSecrets(content)
