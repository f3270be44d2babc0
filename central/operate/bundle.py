"""Find `pilot.pyz`: inside an installed pilotage, or built from the checkout that runs.

The central never imports the pilot: it hands out this file, which an interpreter then starts. With
it goes `pilot.sh`, into which the central writes where it is and whose signature counts.
"""

import hashlib
import importlib.util
import io
import shlex
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Final

import pilotage

from ..auth import signature
from ..auth.signature import FileSigner, PilotFiles
from .files import RealDisk

SCRIPT: Final = "pilot.sh"  # beside the bundle


class NoBundle(Exception):
    """This installation has no pilot to start. Install pilotage anew, or run from a checkout."""

    def __init__(self, package: Path) -> None:
        super().__init__(f"no pilot.pyz in {package}, and no checkout around it to build one from")


def pilot_bundle() -> Path:
    """Return the file that pilots are started from.

    A checkout builds it into `build/`, and anew whenever a source is newer. Raises NoBundle.
    """
    package = Path(pilotage.__file__).resolve().parent
    shipped = package / "pilot.pyz"
    if shipped.is_file():
        return shipped
    root = package.parent
    builder = root / "deploy" / "pilot" / "bundle.py"
    if not builder.is_file():
        raise NoBundle(package)
    bundle = _load(builder)
    target = root / "build" / "pilot.pyz"
    if not target.with_name(SCRIPT).is_file() or _newest(bundle.sources(root)) >= _written(target):
        bundle.build(target, root)
    return target


def signing_key(data: Path) -> bytes | None:
    """Return the public key of this data directory, if it has one. Raises BadKeyFile."""
    signer = signature.find(data, disk=RealDisk())
    return None if signer is None else signer.key


class Handout:
    """What this central hands out for pilots, signed anew when the bundle has changed.

    `url` is asked late: where the port is a free one it is known only when it has been taken.
    """

    def __init__(self, bundle: Path, signer: FileSigner, url: Callable[[], str]) -> None:
        self._bundle, self._signer, self._url = bundle, signer, url
        self._kept: tuple[tuple[int, int, int], PilotFiles] | None = None

    def files(self) -> PilotFiles:
        """Return them. Reads the disk. Raises OSError."""
        found = self._bundle.stat()
        seen = (found.st_ino, found.st_size, found.st_mtime_ns)
        if self._kept is None or self._kept[0] != seen:
            self._kept = seen, self._made()
        return self._kept[1]

    def _made(self) -> PilotFiles:
        content = self._bundle.read_bytes()
        version = version_of(content)
        script = self._bundle.with_name(SCRIPT).read_bytes()
        return PilotFiles(
            signed=self._signer.sign(content),
            sha256=hashlib.sha256(content).hexdigest(),
            version=version,
            script=filled(script, central=self._url(), key=self._signer.key, least=version),
        )


def version_of(bundle: bytes) -> str:
    """Return the version that a bundle says itself."""
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        return archive.read("VERSION").decode().strip()


def filled(script: bytes, *, central: str, key: bytes, least: str) -> bytes:
    """Return the script that knows where the bundle is, whose signature counts, how old is old."""
    text = script.decode()
    for name, value in (("central", central), ("key", key.hex()), ("least", least)):
        empty = f"\n{name}=''\n"
        assert text.count(empty) == 1, f"pilot.sh has no place for {name}"
        text = text.replace(empty, f"\n{name}={shlex.quote(value)}\n")
    return text.encode()


def _written(target: Path) -> float:
    return target.stat().st_mtime if target.is_file() else 0.0


def _newest(files: Iterable[Path]) -> float:
    """Return when the newest of `files` was written, or a file beside it added or removed."""
    paths = set(files)
    return max(path.stat().st_mtime for path in paths | {path.parent for path in paths})


def _load(path: Path) -> ModuleType:
    """Load the builder, which stands in no package: the wheel's build hook uses it as well."""
    spec = importlib.util.spec_from_file_location("pilotage_pilot_bundle", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
