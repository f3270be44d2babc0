"""The checkpoint of an attempt: one folder of the payload, packed for the next attempt of its job.

It holds files with their executable bit, folders, and links that stay inside the payload's folder.
Pipes, sockets and links that lead out are skipped. A file that cannot be read makes the checkpoint
unusable. No process of the payload runs any more when it is packed.
"""

import hashlib
import io
import os
import stat
import tarfile
from pathlib import Path
from typing import IO, Any, Optional

from pilotage.proto.messages import CHECKPOINT_FILE, Output

from ..ports import TooLarge, UnsafePath
from . import archives
from .path_bounds import FolderGuard
from .removal import remove
from .worker_thread import GoOn, always

BYTES_MAX = 1_000_000_000  # of the archive; the central has its own limit
MEMBERS_MAX = 20_000
ARCHIVE = "checkpoint.tar"  # in the attempt's folder
RESTORED = "restored"  # beside it: where an archive is unpacked before it replaces the folder
_BLOCK = archives.ENTRY_BYTES  # an archive's files and headers fill blocks of this size


class _Hashing(io.RawIOBase):
    """A file that is written, with the hash of its content."""

    def __init__(self, file: IO[bytes], go_on: GoOn) -> None:
        super().__init__()
        self._go_on = go_on
        self._file, self._digest, self.size_bytes = file, hashlib.sha256(), 0

    def write(self, data: Any, /) -> int:
        self._go_on()
        self._digest.update(data)
        self.size_bytes += len(data)
        return self._file.write(data)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


def pack(
    folder: Path, name: str, *, bytes_max: int = BYTES_MAX, go_on: GoOn = always
) -> Optional[tuple[Output, Path]]:
    """Pack `name` below the attempt's `work` into an archive beside it; None if it is empty.

    Raises UnsafePath, TooLarge, OSError if the disk is full, and the errors of `go_on`.
    """
    work, archive = folder / "work", folder / ARCHIVE
    top = archives.safe_path(work, name)
    if not _is_folder(top):
        return None
    members = _members(work, top, bytes_max, go_on)
    if len(members) == 1:
        return None
    remove(archive)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with open(os.open(archive, flags, 0o600), "wb") as file:
        hashing = _Hashing(file, go_on)
        with tarfile.open(  # as a stream, because it is hashed while it is written
            mode="w|", fileobj=hashing, format=tarfile.GNU_FORMAT, encoding="utf-8"
        ) as tar:
            for member in members:
                _add(tar, member, work)
    return Output(CHECKPOINT_FILE, hashing.sha256, hashing.size_bytes), archive


def restore(
    archive: Path,
    folder: Path,
    name: str,
    *,
    bytes_max: int = BYTES_MAX,
    go_on: GoOn = always,
) -> None:
    """Replace `name` by the content of an archive from `pack`.

    Raises UnsafePath, TooLarge, OSError if the disk is full, and the errors of `go_on`. After an
    error, nothing has changed.
    """
    work, restored = folder / "work", folder / RESTORED
    top = archives.safe_path(work, name)
    remove(restored)
    restored.mkdir(mode=0o700)
    try:
        # The content that `pack` counts, and the folder itself.
        most = bytes_max + archives.ENTRY_BYTES
        archives.extract(archive, restored, bytes_max=most, go_on=go_on)
        made = archives.safe_path(restored, name)
        if not _is_folder(made):
            raise UnsafePath(f"the archive has no folder {name[:80]!r}")
        if not remove(top):
            raise OSError(f"{name} cannot be replaced")
        top.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.rename(made, top)
    finally:
        remove(restored)


def _members(work: Path, top: Path, bytes_max: int, go_on: GoOn) -> list[tarfile.TarInfo]:
    """Return the members to pack, the folder itself first. Raises TooLarge or UnsafePath."""
    members, left, total, inside = [_member(work, top)], [top], 0, FolderGuard(work)
    while left:
        for path in _entries(left.pop()):
            go_on()
            member = _member(work, path)
            if member.isdir():
                left.append(path)
            elif not (member.isreg() or _stays_inside(member, path, inside)):
                continue
            long = max(len(member.name), len(member.linkname))
            if long > archives.NAME_MAX:
                raise UnsafePath(f"a name or a link of {long} characters is too long")
            members.append(member)
            total += _BLOCK + member.size
            if len(members) > MEMBERS_MAX:
                raise TooLarge(f"it has more than {MEMBERS_MAX} files")
            if total > bytes_max:
                raise TooLarge(f"it has more than {bytes_max / 1e6:.0f} MB")
    return members


def _entries(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return sorted(Path(entry.path) for entry in entries)


def _member(work: Path, path: Path) -> tarfile.TarInfo:
    """Return the header of a file, without its owner and time."""
    member, found = tarfile.TarInfo(path.relative_to(work).as_posix()), path.lstat()
    member.mode = stat.S_IMODE(found.st_mode) & 0o777
    if stat.S_ISREG(found.st_mode):
        member.size = found.st_size
    elif stat.S_ISDIR(found.st_mode):
        member.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(found.st_mode):
        member.type, member.linkname = tarfile.SYMTYPE, os.readlink(path)
    else:
        member.type = tarfile.FIFOTYPE  # or another type that is not packed
    return member


def _stays_inside(member: tarfile.TarInfo, path: Path, inside: FolderGuard) -> bool:
    if not member.issym() or member.linkname.startswith("/"):
        return False
    return inside.has(path)


def _add(tar: tarfile.TarFile, member: tarfile.TarInfo, work: Path) -> None:
    if not member.isreg():
        tar.addfile(member)
        return
    handle = os.open(work / member.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(handle, "rb") as file:
        tar.addfile(member, file)


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False
