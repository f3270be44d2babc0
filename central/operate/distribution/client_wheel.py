"""The wheel of this pilotage for clients, made from the running files.

It is on no package index. The central makes it from an installed wheel or from a checkout, without
build tools: a wheel is a zip archive with a list of its files.
"""

import base64
import hashlib
import io
import os
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Final

import pilotage

from ...app.routes import ClientWheel
from ..servers.mosquitto import configuration
from .pilot_bundle import SCRIPT

_LEFT_OUT: Final = ("__pycache__", "_compiled")  # made locally, for the Python of this machine
_KINDS: Final = frozenset({".py", ".sql", ".yaml", ".sh", ".typed"})  # files that are shipped
AGAIN_S: Final = 60.0
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the oldest date that a zip can hold
_KIND: Final = b"""\
Wheel-Version: 1.0
Generator: pilotage
Root-Is-Purelib: true
Tag: py3-none-any
"""


class WheelHandout:
    """Makes the wheel at the first request, and caches it (some 2 MB).

    If that fails, the next try comes after AGAIN_S, because the route is public.
    """

    def __init__(self, bundle: Path | None) -> None:
        """`bundle`: the pilot's file that this central hands out."""
        self._bundle = bundle
        self._kept: ClientWheel | None = None
        self._not_before = 0.0
        self._lock = threading.Lock()

    def wheel(self) -> ClientWheel | None:
        """Return the wheel, or None if there is none. The first call takes a second."""
        with self._lock:
            now = time.monotonic()
            if self._kept is None and now >= self._not_before:
                self._not_before = now + AGAIN_S
                with suppress(OSError):
                    self._kept = client_wheel(self._bundle)
            return self._kept


def client_wheel(bundle: Path | None) -> ClientWheel | None:
    """Make the wheel. Raises OSError.

    Return None if these sources are not installed, or have changed since the process started.
    """
    try:
        found = metadata.distribution("pilotage")
    except metadata.PackageNotFoundError:
        return None
    if found.version != pilotage.__version__:
        return None
    files = dict(_package(bundle)) | dict(_description(found))
    record = f"pilotage-{found.version}.dist-info/RECORD"
    files[record] = _record(files, record)
    content = _zipped(files)
    return ClientWheel(
        name=f"pilotage-{found.version}-py3-none-any.whl",
        content=content,
        sha256=hashlib.sha256(content).hexdigest(),
        needs_python=found.metadata["Requires-Python"],
    )


def _package(bundle: Path | None) -> Iterator[tuple[str, bytes]]:
    """Yield the files of the package with their paths in the wheel."""
    package = Path(pilotage.__file__).parent
    for folder, inner, names in os.walk(package, followlinks=True):  # a checkout has links
        inner[:] = [one for one in inner if not one.startswith((".", *_LEFT_OUT))]
        for name in names:
            path = Path(folder, name)
            if path.suffix in _KINDS:
                yield f"pilotage/{path.relative_to(package).as_posix()}", path.read_bytes()
    yield from ((f"pilotage/{path.name}", path.read_bytes()) for path in _files_elsewhere(bundle))


def _files_elsewhere(bundle: Path | None) -> Iterator[Path]:
    """Yield files from elsewhere in a checkout, as deploy/hook.py adds them."""
    if (broker := configuration()) is not None:
        yield broker
    if bundle is not None:
        yield from (bundle, bundle.with_name(SCRIPT))


def _description(found: metadata.Distribution) -> Iterator[tuple[str, bytes]]:
    """Yield the metadata for pip: name, version, dependencies, commands, and the licence."""
    folder = f"pilotage-{found.version}.dist-info"
    for name in ("METADATA", "entry_points.txt", "licenses/LICENSE"):
        if (text := found.read_text(name)) is not None:
            yield f"{folder}/{name}", text.encode()
    yield f"{folder}/WHEEL", _KIND


def _record(files: Mapping[str, bytes], itself: str) -> bytes:
    """Return the list of all files, with hash and size."""
    lines = [
        f"{name},sha256={_hash(content)},{len(content)}" for name, content in sorted(files.items())
    ]
    return "\n".join([*lines, f"{itself},,", ""]).encode()


def _hash(content: bytes) -> str:
    digest = hashlib.sha256(content).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _zipped(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, content)
    return packed.getvalue()
