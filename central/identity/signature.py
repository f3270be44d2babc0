"""The signature of the pilot's file. It proves that the file comes from this central.

It is Ed25519 (RFC 8032) over the whole file, with a separate key in the data directory. To check it
by hand:
`openssl pkeyutl -verify -pubin -inkey pilot.pem -rawin -in pilot.pyz -sigfile pilot.pyz.sig`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from ..ports import Disk
from .errors import BadKeyFile

FILE: Final = "pilot-signing-key.pem"


@dataclass(frozen=True)
class SignedFile:
    """The pilot's file with its signature and the public key."""

    content: bytes
    signature: bytes  # 64 bytes
    key: bytes  # the public key, 32 bytes
    key_pem: bytes  # the same as SubjectPublicKeyInfo


@dataclass(frozen=True)
class PilotFiles:
    """The files that a node fetches to run a pilot."""

    signed: SignedFile
    sha256: str  # of the file
    version: str  # as the file states it
    script: bytes  # pilot.sh, with the address, the key and the version of this central


class FileSigner:
    """Signs files with one key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    def sign(self, content: bytes) -> SignedFile:
        """Return the content with its signature."""
        return SignedFile(
            content=content,
            signature=self._key.sign(content),
            key=self.key,
            key_pem=self._key.public_key().public_bytes(
                Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
            ),
        )

    @property
    def key(self) -> bytes:
        """Return the public key."""
        return self._key.public_key().public_bytes_raw()


def load(data: Path, *, disk: Disk) -> FileSigner:
    """Read the key of the data directory; make it if it is missing. Raises BadKeyFile."""
    kept = find(data, disk=disk)
    if kept is not None:
        return kept
    made = Ed25519PrivateKey.generate()
    text = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return _read(data / FILE, disk.make_secret(data / FILE, text))


def find(data: Path, *, disk: Disk) -> FileSigner | None:
    """Read the key of the data directory, if there is one. Raises BadKeyFile."""
    content = disk.read(data / FILE)
    return None if content is None else _read(data / FILE, content)


def _read(path: Path, content: bytes) -> FileSigner:
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as why:
        raise BadKeyFile(str(path), str(why)) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadKeyFile(str(path), "it is not an Ed25519 key")
    return FileSigner(key)
