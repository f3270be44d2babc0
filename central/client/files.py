"""Files of jobs: hashing before the upload, and verification after the download."""

import hashlib
import io
import os
import tarfile
import tempfile
import unicodedata
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from pilotage.proto.documents.job import Input
from pilotage.proto.problems import Code

from .errors import BadDownload, FileThere, Invalid, UnsafeName

_PIECE_BYTES = 256 * 1024


@dataclass(frozen=True)
class LocalFile:
    """A file or folder to send. A folder is sent as a tar archive, which the pilot unpacks."""

    path: Path
    name: str = ""  # in the folder of the payload; empty: the last part of `path`
    unpack: bool = False


class FetchedOutput(NamedTuple):
    """An output of a job that was fetched to this machine."""

    job: int
    name: str
    path: Path


@dataclass(frozen=True)
class Downloaded:
    """The outputs that were fetched, and the jobs and outputs that were not."""

    files: list[FetchedOutput]
    unfinished: list[int]  # jobs that have not ended
    empty: list[int]  # jobs that kept no such output
    missing: list[int]  # ids of jobs that do not exist, or are not yours to read
    lost: list[tuple[int, str]]  # job and name of outputs that the central no longer has

    @property
    def is_complete(self) -> bool:
        """Whether every job had ended and gave outputs."""
        return not (self.unfinished or self.empty or self.missing or self.lost)


@dataclass(frozen=True)
class HashedFile:
    """A local file with its hash: the input of the job, and the path of the bytes."""

    input: Input
    path: Path
    temporary: bool = False


def hash_file(file: LocalFile) -> HashedFile:
    """Read and hash a file, and return it as an input of a job. A folder is packed first."""
    if file.path.is_dir():
        packed = _pack(file.path, file.name or file.path.resolve().name)
        entry = _entry(packed, packed.name, unpack=True)
        return HashedFile(entry, packed, temporary=True)
    return HashedFile(_entry(file.path, file.name or file.path.name, file.unpack), file.path)


def too_large(path: Path, size: int, bytes_max: int) -> Invalid:
    """Return the refusal of a file that is too large to travel with a job."""
    what = "the archive of this folder" if path.is_dir() else "the file"
    return Invalid(
        Code.TOO_LARGE.value,
        f"{path}: {what} has {size} bytes, and the central accepts at most {bytes_max}: store it"
        " with `pilotage data put`, and name it with --data-input",
    )


async def pieces(path: Path) -> AsyncIterator[bytes]:
    """Yield the bytes of a file."""
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE_BYTES):
            yield piece


def target_of(to: Path, name: str) -> Path:
    """Return the target file of output `name`: `to`, or inside `to` if that is a folder."""
    return inside(to, name) if to.is_dir() else to


def inside(folder: Path, name: str) -> Path:
    """Return the path of output `name` in a folder. Raises UnsafeName if it leads out."""
    parts = PurePosixPath(name)
    if parts.is_absolute() or not parts.parts or ".." in parts.parts or "\x00" in name:
        raise UnsafeName(name)
    return folder / parts


def clash_in(places: Iterable[tuple[str, str]]) -> tuple[str, str] | None:
    """Return two owners whose files clash in one folder; None if there are none.

    `places` are pairs of an owner and a relative path. Two paths clash if they are equal, or if one
    is a folder of the other. Upper and lower case are equal, and so are the forms of a letter in
    Unicode, as on some file systems.
    """
    files, folders = dict[str, str](), dict[str, str]()
    for owner, path in places:
        whole = unicodedata.normalize("NFC", path.casefold())
        above = [str(one) for one in PurePosixPath(whole).parents][:-1]
        inside = next((files[one] for one in above if one in files), None)
        other = files.get(whole) or folders.get(whole) or inside
        if other is not None:
            return other, owner
        files[whole] = owner
        folders.update((one, owner) for one in above if one not in folders)
    return None


def is_fetched(target: Path, what: str, sha256: str, *, force: bool) -> bool:
    """Return whether the target has these bytes. Raises FileThere if something else is there.

    With `force` a file with other bytes is not an error, because it will be replaced.
    """
    barrier = next((one for one in target.parents if one.exists()), None)
    if barrier is not None and not barrier.is_dir():
        raise FileThere(f"{what}: {barrier} is a file, not a folder: choose another --to")
    if not target.exists():
        return False
    if not target.is_file():
        raise FileThere(f"{what}: {target} exists, and is not a file: choose another --to")
    with target.open("rb") as stream:
        if sha256_of(stream) == sha256:
            return True
    if not force:
        raise FileThere(
            f"{what}: {target} exists with other bytes: choose another --to, or "
            "replace the file with --force (in Python: force=True)"
        )
    return False


async def write_checked(
    content: AsyncIterator[bytes], target: Path, *, name: str, sha256: str
) -> None:
    """Write the bytes to `target`. Raises BadDownload, and writes nothing, if the hash is wrong."""
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
    """Write a tar archive that depends only on names and bytes, so that its hash is stable."""
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
