"""Hands out the signed `pilot.pyz`, and `pilot.sh` that fetches it.

The central writes its URL and its public key into `pilot.sh`.
"""

import hashlib
import io
import shlex
import zipfile
from collections.abc import Callable
from pathlib import Path

from ...identity import signature
from ...identity.signature import FileSigner, PilotFiles
from ..files import RealDisk
from .extra_drivers import additions, complete
from .pilot_bundle import SCRIPT


def signing_key(data: Path) -> bytes | None:
    """Return the public key of this data directory, or None. Raises BadKeyFile."""
    signer = signature.find(data, disk=RealDisk())
    return None if signer is None else signer.key


class Handout:
    """The pilot's files that this central hands out; signed again when the bundle changes.

    `url` is a function, because a free port is known only after it was bound.
    """

    def __init__(self, bundle: Path, signer: FileSigner, url: Callable[[], str]) -> None:
        """Make the handout. Raises BadDriver."""
        additions()  # a bad driver should stop the start, not a request
        self._bundle, self._signer, self._url = bundle, signer, url
        self._kept: tuple[tuple[int, int, int], PilotFiles] | None = None

    def files(self) -> PilotFiles:
        """Return the files. Reads the disk. Raises OSError."""
        found = self._bundle.stat()
        seen = (found.st_ino, found.st_size, found.st_mtime_ns)
        if self._kept is None or self._kept[0] != seen:
            self._kept = seen, self._made()
        return self._kept[1]

    def _made(self) -> PilotFiles:
        content = complete(self._bundle.read_bytes())
        version = version_of(content)
        script = self._bundle.with_name(SCRIPT).read_bytes()
        return PilotFiles(
            signed=self._signer.sign(content),
            sha256=hashlib.sha256(content).hexdigest(),
            version=version,
            script=filled(script, central=self._url(), key=self._signer.key, least=version),
        )


def version_of(bundle: bytes) -> str:
    """Return the version inside a bundle."""
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        return archive.read("VERSION").decode().strip()


def filled(script: bytes, *, central: str, key: bytes, least: str) -> bytes:
    """Return the script with the central's URL, the public key and the oldest allowed version."""
    text = script.decode()
    for name, value in (("central", central), ("key", key.hex()), ("least", least)):
        empty = f"\n{name}=''\n"
        assert text.count(empty) == 1, f"pilot.sh has no place for {name}"
        text = text.replace(empty, f"\n{name}={shlex.quote(value)}\n")
    return text.encode()
