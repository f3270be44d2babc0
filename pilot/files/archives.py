"""Unpacking of untrusted archives: members are written only below one folder.

Python 3.9 has no reliable extraction filter, so this module checks members itself. It writes only
to folders whose real path lies inside, so links cannot redirect it. No other process writes there
at that time.
"""

import contextlib
import errno
import os
import tarfile
import zlib
from pathlib import Path
from typing import IO, Any, cast

from ..ports import TooLarge, UnsafePath
from .path_bounds import FolderGuard
from .worker_thread import GoOn, always

MEMBERS_MAX = 100_000  # including the folders that are created for them
LINKS_MAX = 20_000
BYTES_MAX = 50_000_000_000
ENTRY_BYTES = 512  # cost of a member besides its content
NAME_MAX = 1024  # of a name, and of the target of a link
HEADER_MAX = 1 << 20  # bytes of a header about the next header, which is read as a whole
HEAD_MAX = 4 * HEADER_MAX  # of all headers of one member, with the map of a sparse file
PAX_MAX, PAX_EASY = 32_768, 1_024  # of a PAX header; one below the second takes a millisecond
HARD_MAX = 10_000_000_000  # of the squares of the larger ones, together: some seconds
_BLOCK = 1 << 20


def _lzma_errors() -> tuple[type[Exception], ...]:
    try:
        from lzma import LZMAError
    except ImportError:  # a Python that was built without it: tarfile reports it if needed
        return ()
    return (LZMAError,)


# All errors that the modules raise for a broken archive.
_BROKEN: tuple[type[Exception], ...] = (
    tarfile.TarError,
    zlib.error,
    *_lzma_errors(),
    EOFError,
    ValueError,  # from int(), from invalid UTF-8, from a closed stream
    OverflowError,
    LookupError,
    AttributeError,  # from tarfile, if a header differs from the promise of the one before
    RecursionError,  # tarfile recurses once for each header about another header
)
_PAX = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
_HEADERS = (*_PAX, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)


class _Head:
    """An archive while the headers of one member are read, which are short.

    They include the map of a sparse file, which tarfile keeps in memory at any length.
    """

    def __init__(self, whole: Any) -> None:
        self.tell, self.seek = whole.tell, whole.seek
        self._whole, self._left = whole, HEAD_MAX

    def read(self, size: int) -> bytes:
        self._left -= size
        if self._left < 0:
            raise TooLarge(
                f"the archive has a member whose headers fill more than {HEAD_MAX} bytes"
            )
        content: bytes = self._whole.read(size)
        return content


def _members() -> type[tarfile.TarInfo]:
    """Return the class of an archive's members that checks their sizes before tarfile does.

    To find the character set of a PAX header, Pythons before 3.9.20, 3.11.10 and 3.12.6 need time
    that grows with the square of its size, and block all other threads.
    """
    left = HARD_MAX

    class Member(tarfile.TarInfo):
        @classmethod
        def fromtarfile(cls, tarfile: tarfile.TarFile) -> "Member":
            whole: Any = tarfile.fileobj
            if isinstance(whole, _Head):  # of a header about another one
                return super().fromtarfile(tarfile)
            tarfile.fileobj = cast("Any", _Head(whole))
            try:
                return super().fromtarfile(tarfile)
            finally:
                tarfile.fileobj = whole

        def _proc_member(self, tarfile: tarfile.TarFile) -> "Member":
            """Check a header before its content is read: tarfile's hook."""
            nonlocal left
            if self.size < 0:
                raise UnsafePath("the archive cannot be read: a member with a negative size")
            most = PAX_MAX if self.type in _PAX else HEADER_MAX
            if self.type in _HEADERS and self.size > most:
                raise TooLarge(f"the archive has a header of {self.size} bytes")
            if self.type in _PAX and self.size > PAX_EASY:
                left -= self.size**2
            if left < 0:
                raise TooLarge("the archive has too many large headers")
            member: Member = cast("Any", super())._proc_member(tarfile)
            return member

    return Member


def safe_path(root: Path, name: str) -> Path:
    """Return the place of the file `name` below `root`. Raises UnsafePath."""
    return _safe_path(root, name, FolderGuard(root))


def _safe_path(root: Path, name: str, inside: FolderGuard) -> Path:
    parts = name.split("/")
    bad = not name or len(name) > NAME_MAX or not _has_bytes(name)
    if bad or name.startswith("/") or ".." in parts:
        raise UnsafePath(f"{name[:80]!r} is not a relative path inside the folder")
    path = root.joinpath(*[part for part in parts if part not in ("", ".")])
    if path == root:
        raise UnsafePath(f"{name[:80]!r} names the folder itself")
    if not inside.has(path.parent):
        raise UnsafePath(f"{name[:80]!r} leads out of the folder through a link")
    return path


def _has_bytes(name: str) -> bool:
    try:
        return b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        return False


def lay(
    source: Path, root: Path, name: str, *, bytes_max: int = BYTES_MAX, go_on: GoOn = always
) -> int:
    """Copy the file `source` to `name` below `root`; return its size.

    Raises UnsafePath, TooLarge, and the errors of `go_on`.
    """
    target = _Unpacking(root, MEMBERS_MAX, bytes_max, go_on).clear(name)
    size = source.stat().st_size
    if size > bytes_max:
        raise TooLarge(f"it has {_size(size)}, but there is room for {_size(bytes_max)}")
    with open(source, "rb") as content:
        # Executable, because an upload carries no mode and may be a script.
        _write(content, target, 0o700, go_on)
    return size


def move(source: Path, root: Path, name: str) -> None:
    """Move the file `source`, on the same disk, to `name` below `root`. Raises UnsafePath."""
    target = _Unpacking(root, MEMBERS_MAX, 0, always).clear(name)
    source.replace(target)


def extract(
    archive: Path,
    root: Path,
    *,
    members_max: int = MEMBERS_MAX,
    bytes_max: int = BYTES_MAX,
    go_on: GoOn = always,
) -> int:
    """Unpack a tar archive, compressed or not, below `root`; return the size of its members.

    Raises UnsafePath for a member that leads out of `root`, is a device or is unreadable. Raises
    TooLarge, and the errors of `go_on`, which is called at each member and block.
    """
    unpacking = _Unpacking(root, members_max, bytes_max, go_on)
    try:
        with tarfile.open(archive, mode="r:*", tarinfo=_members()) as tar:
            for member in tar:
                unpacking.lay(tar, member)
    except UnsafePath:
        raise
    except _BROKEN as why:
        raise UnsafePath(f"the archive cannot be read: {why}") from None
    except OSError as why:
        if why.errno is not None or isinstance(why, TooLarge):
            raise
        raise UnsafePath(f"the archive cannot be read: {why}") from None  # from bz2 and gzip
    finally:
        # Only now do all links exist: an earlier link may lead out through a later one.
        bad = unpacking.unlink_leading_out()
    if bad:
        raise UnsafePath(f"the link {bad[0].name[:80]!r} leads out of the folder")
    return unpacking.bytes_laid


class _Unpacking:
    """An archive that is being unpacked, and its cost so far."""

    def __init__(self, root: Path, members_max: int, bytes_max: int, go_on: GoOn) -> None:
        self._root, self._inside, self._go_on = root, FolderGuard(root), go_on
        self._members_max, self._bytes_max = members_max, bytes_max
        self._made, self._links, self.bytes_laid = 0, list[Path](), 0

    def lay(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        self._go_on()
        if member.size < 0:  # set by a header about it
            raise UnsafePath(f"{member.name[:80]!r} has a negative size")
        self._count()
        self.bytes_laid += ENTRY_BYTES + (member.size if member.isreg() else 0)
        if self.bytes_laid > self._bytes_max:
            raise TooLarge(f"the archive unpacks to more than {_size(self._bytes_max)}")
        if member.isdir():
            self._lay_folder(member)
        elif member.isreg():
            content = tar.extractfile(member)
            assert content is not None, "a regular member has content"
            _write(content, self.clear(member.name), member.mode & 0o111, self._go_on)
        elif member.issym():
            self._lay_link(member)
        elif member.islnk():
            source = _safe_path(self._root, member.linkname, self._inside)
            path = self.clear(member.name)
            if source.is_symlink() or not source.is_file():
                raise UnsafePath(
                    f"{member.name[:80]!r} is a hard link to a file outside the archive"
                )
            os.link(source, path)
        else:
            raise UnsafePath(f"{member.name[:80]!r} is a device or of an unknown kind")

    def _count(self) -> None:
        self._made += 1
        if self._made > self._members_max:
            raise TooLarge(f"the archive has more than {self._members_max} members")

    def _lay_folder(self, member: tarfile.TarInfo) -> None:
        if member.name.strip("./"):
            path = _safe_path(self._root, member.name, self._inside)
            if not path.is_dir() or path.is_symlink():
                self.clear(member.name).mkdir(mode=0o700)

    def _lay_link(self, member: tarfile.TarInfo) -> None:
        path = self.clear(member.name)
        if member.linkname.startswith("/"):
            raise UnsafePath(f"{member.name[:80]!r} links to an absolute path")
        if len(member.linkname) > NAME_MAX:
            long = f"{len(member.linkname)} characters; at most {NAME_MAX} are allowed"
            raise UnsafePath(f"{member.name[:80]!r} links to a path of {long}")
        if len(self._links) >= LINKS_MAX:
            raise TooLarge(f"the archive has more than {LINKS_MAX} links")
        os.symlink(member.linkname, path)
        self._links.append(path)

    def clear(self, name: str) -> Path:
        """Return the safe path of `name`, with its folders created and nothing in its place."""
        path = _safe_path(self._root, name, self._inside)
        try:
            self._make(path.parent)
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
        except (NotADirectoryError, FileExistsError, IsADirectoryError, PermissionError) as why:
            raise UnsafePath(f"{name[:80]!r} conflicts with another member: {why}") from None
        except OSError as why:
            if why.errno == errno.ENAMETOOLONG:
                raise UnsafePath(f"{name[:80]!r} has a part that is too long") from None
            raise
        return path

    def _make(self, folder: Path) -> None:
        """Create a folder and its parents: one name can ask for hundreds, so each counts."""
        missing: list[Path] = []
        while not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        for one in reversed(missing):
            self._count()
            one.mkdir(mode=0o700)

    def unlink_leading_out(self) -> list[Path]:
        bad = [path for path in self._links if path.is_symlink() and not self._stays(path)]
        for path in bad:
            path.unlink()
        return bad

    def _stays(self, path: Path) -> bool:
        try:
            return self._inside.has(path)
        except UnsafePath:  # too many links to check: treat it as unsafe
            return False


def _write(content: IO[bytes], path: Path, executable: int, go_on: GoOn) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with open(os.open(path, flags, 0o700 if executable else 0o600), "wb") as file:
        while True:
            go_on()
            block = content.read(_BLOCK)
            if not block:
                return
            file.write(block)


def _size(size_bytes: int) -> str:
    return f"{size_bytes} bytes" if size_bytes < 1_000_000 else f"{size_bytes / 1e6:.0f} MB"
