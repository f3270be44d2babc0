"""Copies between this machine and storages: local folders, or HTTP servers.

Uploads are verified by their size on the storage, and downloads by the checksums of the catalogue.
"""

import hashlib
import http.client
import os
import tempfile
import urllib.parse
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from pilotage.proto.api.storages import StorageView
from pilotage.proto.storages import is_good_path
from pilotage.proto.trust import trusting

from .errors import BadCopy, StorageTrouble

_PIECE_BYTES: Final = 1 << 20
_TIMEOUT_S: Final = 60.0  # for each read and write
_NO_FOLDER: Final = (404, 409, 500)  # status of a PUT if the folder is missing


class StreamChecksums:
    """The size and the checksums of a stream of bytes."""

    def __init__(self) -> None:
        self.size, self._adler, self._sha = 0, 1, hashlib.sha256()

    def add(self, piece: bytes) -> bytes:
        self.size += len(piece)
        self._adler = zlib.adler32(piece, self._adler)
        self._sha.update(piece)
        return piece

    @property
    def adler32(self) -> str:
        return f"{self._adler:08x}"

    @property
    def sha256(self) -> str:
        return self._sha.hexdigest()


def sums_of(path: Path) -> StreamChecksums:
    """Return the checksums of a local file."""
    sums = StreamChecksums()
    with path.open("rb") as stream:
        for piece in _pieces(stream):
            sums.add(piece)
    return sums


def stored(source: Path, storage: StorageView, path: str) -> StreamChecksums:
    """Copy a local file to a storage, and return the checksums of the sent bytes.

    Raises StorageTrouble, and OSError for the local file.
    """
    with source.open("rb") as stream, _named(storage):
        if storage.type == "file":
            return _put_into_folder(stream, _inside(storage, path), storage)
        if storage.type == "http":
            return _put_over_http(stream, os.fstat(stream.fileno()).st_size, storage, path)
        raise StorageTrouble(
            storage.name, f"this client does not support its type {storage.type!r}"
        )


def fetch(
    storage: StorageView, path: str, target: Path, *, size: int, sums: "Iterable[str]"
) -> None:
    """Copy a file from a storage, and verify its size and checksums.

    `sums` are hex checksums: Adler-32 has 8 digits, SHA-256 has 64. Raises StorageTrouble, and
    then writes nothing.
    """
    found = StreamChecksums()
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".pilotage-")
    try:
        with os.fdopen(handle, "wb") as out:
            for piece in _content(storage, path):
                out.write(found.add(piece))
                if found.size > size:
                    raise BadCopy(storage.name, f"{path} has more than {size} bytes")
        if found.size != size:
            raise BadCopy(storage.name, f"{path} has {found.size} bytes, expected {size}")
        for wanted in filter(None, sums):
            is_ = found.adler32 if len(wanted) == len(found.adler32) else found.sha256
            if is_ != wanted:
                raise BadCopy(storage.name, f"{path} has the checksum {is_}, expected {wanted}")
        mask = os.umask(0o077)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def remove(storage: StorageView, path: str) -> None:
    """Remove a copy. Raises StorageTrouble."""
    with _named(storage):
        if storage.type == "file":
            _inside(storage, path).unlink(missing_ok=True)
            return
        with _asked(storage, "DELETE", path) as answer:
            if answer.status not in (200, 202, 204, 404):
                raise StorageTrouble(storage.name, f"HTTP {answer.status} to DELETE")


def remove_folder(storage: StorageView, path: str) -> None:
    """Remove an empty folder of a local storage. Raises StorageTrouble.

    Folders on servers stay, because servers also remove the content of a folder.
    """
    if storage.type == "file":
        with _named(storage):
            _inside(storage, path).rmdir()


def _content(storage: StorageView, path: str) -> Iterator[bytes]:
    with _named(storage):
        if storage.type == "file":
            with _inside(storage, path).open("rb") as stream:
                yield from _pieces(stream)
        elif storage.type == "http":
            with _asked(storage, "GET", path) as answer:
                if answer.status != 200:
                    raise StorageTrouble(storage.name, f"HTTP {answer.status} to GET {path}")
                yield from _pieces(answer)
                if answer.length:
                    raise StorageTrouble(storage.name, f"the transfer of {path} broke off")
        else:
            raise StorageTrouble(
                storage.name, f"this client does not support its type {storage.type!r}"
            )


def _pieces(stream: "IO[bytes] | http.client.HTTPResponse") -> Iterator[bytes]:
    while piece := stream.read(_PIECE_BYTES):
        yield piece


@contextmanager
def _named(storage: StorageView) -> Generator[None]:
    """Turn system and HTTP errors into StorageTrouble, which names the storage."""
    try:
        yield
    except (OSError, http.client.HTTPException) as why:
        said = (why.strerror if isinstance(why, OSError) else "") or str(why) or repr(why)
        raise StorageTrouble(storage.name, said) from None


def _inside(storage: StorageView, path: str) -> Path:
    """Return the path of a copy. Raises StorageTrouble if it leads out of the storage."""
    root = Path(urllib.parse.unquote(urllib.parse.urlsplit(storage.url).path)).resolve()
    if not root.is_dir():
        raise StorageTrouble(storage.name, f"{root} does not exist: is it mounted on this machine?")
    place = root / path
    if not is_good_path(path) or not place.resolve().is_relative_to(root) or place.is_symlink():
        raise StorageTrouble(storage.name, f"{path!r} is not a path inside it")
    return place


def _put_into_folder(stream: IO[bytes], target: Path, storage: StorageView) -> StreamChecksums:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name[:100]}.part-{os.urandom(8).hex()}")
    sums = StreamChecksums()
    try:
        with part.open("xb") as out:
            for piece in _pieces(stream):
                out.write(sums.add(piece))
            out.flush()
            os.fsync(out.fileno())
        os.replace(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    if target.stat().st_size != sums.size:
        raise StorageTrouble(storage.name, "the copy is incomplete")
    return sums


def _put_over_http(
    stream: IO[bytes], size: int, storage: StorageView, path: str
) -> StreamChecksums:
    status, sums = _sent(stream, size, storage, path)
    if status in _NO_FOLDER:
        parts = path.split("/")[:-1]
        for count in range(1, len(parts) + 1):
            with _asked(storage, "MKCOL", "/".join(parts[:count]) + "/"):
                pass
        stream.seek(0)
        status, sums = _sent(stream, size, storage, path)
    if not 200 <= status < 300:
        raise StorageTrouble(storage.name, f"HTTP {status} to PUT")
    with _asked(storage, "HEAD", path) as answer:
        found = answer.getheader("Content-Length")
        if answer.status != 200 or found != str(sums.size):
            raise StorageTrouble(storage.name, f"it has {found} bytes, but {size} were sent")
    return sums


def _sent(
    stream: IO[bytes], size: int, storage: StorageView, path: str
) -> tuple[int, StreamChecksums]:
    sums = StreamChecksums()
    body = (sums.add(piece) for piece in _pieces(stream))
    with _asked(storage, "PUT", path, body, size) as answer:
        return answer.status, sums


@contextmanager
def _asked(
    storage: StorageView, method: str, path: str, body: Iterable[bytes] | None = None, size: int = 0
) -> Generator[http.client.HTTPResponse]:
    """Send one request on a new connection. Redirects are not followed."""
    parts = urllib.parse.urlsplit(storage.url)
    if parts.scheme == "https":
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            parts.netloc, timeout=_TIMEOUT_S, context=trusting()
        )
    else:
        connection = http.client.HTTPConnection(parts.netloc, timeout=_TIMEOUT_S)
    headers = {"Content-Length": str(size)} if body is not None else {}
    where = f"{parts.path.rstrip('/')}/{urllib.parse.quote(path)}"
    try:
        connection.request(method, where, body, headers)
        with connection.getresponse() as answer:
            yield answer
    finally:
        connection.close()
