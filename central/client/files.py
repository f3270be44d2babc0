"""Files that travel with jobs: hashing before the upload, checking after the download."""

import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from pilotage.proto.documents.job import Input

from .errors import BadDownload, FileThere, UnsafeName

_PIECE_BYTES = 256 * 1024


@dataclass(frozen=True)
class LocalFile:
    """A file or folder to send. A folder travels as a tar archive and is laid there unpacked."""

    path: Path
    name: str = ""  # in the payload's folder; empty: the last part of `path`
    unpack: bool = False


class FetchedOutput(NamedTuple):
    """An output of a job that is on this machine."""

    job: int
    name: str
    path: Path


@dataclass(frozen=True)
class HashedFile:
    """A local file whose bytes are known: what the job says, and where they are."""

    input: Input
    path: Path
    temporary: bool = False


def hash_file(file: LocalFile) -> HashedFile:
    """Read a file once and return what a job says of it. A folder is packed first."""
    if file.path.is_dir():
        packed = _pack(file.path, file.name or file.path.resolve().name)
        entry = _entry(packed, packed.name, unpack=True)
        return HashedFile(entry, packed, temporary=True)
    return HashedFile(_entry(file.path, file.name or file.path.name, file.unpack), file.path)


async def pieces(path: Path) -> AsyncIterator[bytes]:
    """Yield the bytes of a file."""
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE_BYTES):
            yield piece


def target_of(to: Path, name: str) -> Path:
    """Return the file that output `name` is written to: inside `to` if that is a folder."""
    return inside(to, name) if to.is_dir() else to


def inside(folder: Path, name: str) -> Path:
    """Return where output `name` lies in a folder. Raises UnsafeName if it would lead out."""
    parts = PurePosixPath(name)
    if parts.is_absolute() or not parts.parts or ".." in parts.parts or "\x00" in name:
        raise UnsafeName(name)
    return folder / parts


def clash_in(places: Iterable[tuple[str, str]]) -> tuple[str, str] | None:
    """Return two owners whose files cannot both lie in one folder; None if there are none.

    `places` are pairs of an owner and a relative path. Two paths clash if they are equal, if they
    differ in the case of letters alone (some file systems ignore it), or if one names a folder of
    the other.
    """
    files, folders = dict[str, str](), dict[str, str]()
    for owner, path in places:
        whole = path.casefold()
        above = [str(one) for one in PurePosixPath(whole).parents][:-1]
        inside = next((files[one] for one in above if one in files), None)
        other = files.get(whole) or folders.get(whole) or inside
        if other is not None:
            return other, owner
        files[whole] = owner
        folders.update((one, owner) for one in above if one not in folders)
    return None


def is_fetched(target: Path, what: str, sha256: str, *, force: bool) -> bool:
    """Whether the target has these very bytes. Raises FileThere if something else is there.

    With `force` a file with other bytes may be replaced.
    """
    barrier = next((one for one in target.parents if one.exists()), None)
    if barrier is not None and not barrier.is_dir():
        raise FileThere(f"{what}: {barrier} is a file, and must be a folder: choose another --to")
    if not target.exists():
        return False
    if not target.is_file():
        raise FileThere(f"{what}: {target} is there, and is no file: choose another --to")
    with target.open("rb") as stream:
        if sha256_of(stream) == sha256:
            return True
    if not force:
        raise FileThere(
            f"{what}: {target} is there with other bytes: choose another --to to keep both, or "
            "replace it with --force (in Python: force=True)"
        )
    return False


async def write_checked(
    content: AsyncIterator[bytes], target: Path, *, name: str, sha256: str
) -> None:
    """Write the bytes to `target`, whole and with the right hash or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".pilotage-")
    digest = hashlib.sha256()
    try:
        with os.fdopen(handle, "wb") as stream:
            async for piece in content:
                digest.update(piece)
                stream.write(piece)
        if digest.hexdigest() != sha256:
            raise BadDownload(name, sha256, digest.hexdigest())
        mask = os.umask(0o077)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def sha256_of(stream: IO[bytes]) -> str:
    """Return the hash of the rest of a stream, in hex. Raises OSError."""
    digest = hashlib.sha256()
    while piece := stream.read(_PIECE_BYTES):
        digest.update(piece)
    return digest.hexdigest()


def _entry(path: Path, name: str, unpack: bool) -> Input:
    with path.open("rb") as stream:
        sha256 = sha256_of(stream)
        size = stream.tell()
    return Input(name=name, sha256=sha256, size_bytes=size, unpack=unpack)


def _pack(folder: Path, name: str) -> Path:
    """Write a tar archive that depends on names and bytes alone, so that it has the same hash."""
    handle, packed = tempfile.mkstemp(prefix=f"{name}-", suffix=".tar")
    with os.fdopen(handle, "wb") as stream, tarfile.open(fileobj=stream, mode="w") as archive:
        for path in _walk(folder):
            member = archive.gettarinfo(path, f"{name}/{path.relative_to(folder).as_posix()}")
            member.mtime, member.uid, member.gid, member.uname, member.gname = 0, 0, 0, "", ""
            if member.isreg():
                with path.open("rb") as content:
                    archive.addfile(member, content)
            elif member.isdir():
                archive.addfile(member, io.BytesIO())
    return Path(packed)


def _walk(folder: Path) -> Iterable[Path]:
    return (path for path in sorted(folder.rglob("*")) if not path.is_symlink())
