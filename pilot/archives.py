"""Archives from strangers: members are laid below one folder, and nowhere else.

Python 3.9 promises no extraction filter, so the checks are our own. Every write goes to a folder
whose real path lies inside, which no link can talk around: nobody else writes there meanwhile.
"""

import contextlib
import errno
import os
import shutil
import tarfile
import zlib
from pathlib import Path
from typing import IO

from .ports import TooLarge, UnsafePath

MEMBERS_MAX = 100_000
BYTES_MAX = 50_000_000_000
NAME_MAX = 1024
HEADER_MAX = 1 << 20  # bytes of a header that tells of the next one: it is read as a whole
_BLOCK = 1 << 20


def _lzma_errors() -> tuple[type[Exception], ...]:
    try:
        from lzma import LZMAError
    except ImportError:  # a Python that was built without: tarfile says so where it needs it
        return ()
    return (LZMAError,)


# All that a broken archive makes of the modules that read it.
_BROKEN: tuple[type[Exception], ...] = (
    tarfile.TarError,
    zlib.error,
    *_lzma_errors(),
    EOFError,
    ValueError,  # of int(), of a text that is not UTF-8, of a closed stream
    OverflowError,
    LookupError,
    AttributeError,  # of tarfile, where a header is not what the one before it promised
    RecursionError,  # tarfile goes one deeper for each header about another header
)
_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


class _Member(tarfile.TarInfo):
    """A member whose size is looked at before tarfile believes it."""

    @classmethod
    def frombuf(cls, buf: "bytes | bytearray", encoding: str, errors: str) -> "_Member":
        member = super().frombuf(buf, encoding, errors)
        if member.size < 0:
            raise UnsafePath("the archive cannot be read: a member of less than no bytes")
        if member.type in _HEADERS and member.size > HEADER_MAX:
            raise TooLarge(f"the archive has a header of {member.size} bytes")
        return member


def safe_path(root: Path, name: str) -> Path:
    """Return where the file `name` belongs below `root`. Raises UnsafePath."""
    parts = name.split("/")
    bad = not name or len(name) > NAME_MAX or not _has_bytes(name)
    if bad or name.startswith("/") or ".." in parts:
        raise UnsafePath(f"{name[:80]!r} is no relative path inside the folder")
    path = root.joinpath(*[part for part in parts if part not in ("", ".")])
    if path == root:
        raise UnsafePath(f"{name[:80]!r} names the folder itself")
    if not is_inside(path.parent, root):
        raise UnsafePath(f"{name[:80]!r} goes through a link that leads out of the folder")
    return path


def _has_bytes(name: str) -> bool:
    try:
        return b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        return False


def is_inside(path: Path, root: Path) -> bool:
    """Whether the real place of `path`, links followed, is `root` or below it."""
    try:
        real, base = os.path.realpath(path), os.path.realpath(root)
    except (RecursionError, ValueError):  # a chain of thousands of links, a name without bytes
        return False
    return real == base or real.startswith(base + os.sep)


def lay(source: Path, root: Path, name: str) -> None:
    """Copy the file `source` to `name` below `root`. Raises UnsafePath."""
    target = _clear(root, name)
    shutil.copyfile(source, target)
    target.chmod(0o700)  # scripts are sent as they are, and an upload carries no mode


def extract(
    archive: Path, root: Path, *, members_max: int = MEMBERS_MAX, bytes_max: int = BYTES_MAX
) -> None:
    """Lay the members of a tar archive, compressed or not, below `root`.

    Raises UnsafePath for a member that leads out, is a device, or cannot be read, and TooLarge.
    """
    links: list[Path] = []
    bytes_left = bytes_max
    try:
        with tarfile.open(archive, mode="r:*", tarinfo=_Member) as tar:
            for number, member in enumerate(tar):
                if number >= members_max:
                    raise TooLarge(f"the archive has more than {members_max} members")
                if member.size < 0:  # said by a header about it
                    raise UnsafePath(f"{member.name[:80]!r} has less than no bytes")
                bytes_left -= member.size if member.isreg() else 0
                if bytes_left < 0:
                    raise TooLarge(f"the archive unpacks to more than {bytes_max} bytes")
                _lay_member(tar, member, root, links)
    except UnsafePath:
        raise
    except _BROKEN as why:
        raise UnsafePath(f"the archive cannot be read: {why}") from None
    except OSError as why:
        if why.errno is not None or isinstance(why, TooLarge):
            raise
        raise UnsafePath(f"the archive cannot be read: {why}") from None  # of bz2 and gzip
    finally:
        # Only now are all links there: one that looked harmless may lead out through a later one.
        bad = _unlink_leading_out(links, root)
    if bad:
        raise UnsafePath(f"the link {bad[0].name[:80]!r} leads out of the folder")


def _lay_member(
    tar: tarfile.TarFile, member: tarfile.TarInfo, root: Path, links: list[Path]
) -> None:
    if member.isdir():
        if member.name.strip("./"):
            path = safe_path(root, member.name)
            if not path.is_dir() or path.is_symlink():
                path = _clear(root, member.name)
                path.mkdir(mode=0o700)
    elif member.isreg():
        content = tar.extractfile(member)
        assert content is not None, "a regular member has content"
        _write(content, _clear(root, member.name), member.mode & 0o111)
    elif member.issym():
        path = _clear(root, member.name)
        if member.linkname.startswith("/"):
            raise UnsafePath(f"{member.name[:80]!r} links to an absolute path")
        os.symlink(member.linkname, path)
        links.append(path)
    elif member.islnk():
        source = safe_path(root, member.linkname)
        path = _clear(root, member.name)
        if source.is_symlink() or not source.is_file():
            raise UnsafePath(f"{member.name[:80]!r} is a hard link to no file of the archive")
        os.link(source, path)
    else:
        raise UnsafePath(f"{member.name[:80]!r} is a device or of an unknown kind")


def _write(content: IO[bytes], path: Path, executable: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with open(os.open(path, flags, 0o700 if executable else 0o600), "wb") as file:
        shutil.copyfileobj(content, file, _BLOCK)


def _clear(root: Path, name: str) -> Path:
    """Return the safe path of `name` with its folders made and nothing in its place."""
    path = safe_path(root, name)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
    except (NotADirectoryError, FileExistsError, IsADirectoryError, PermissionError) as why:
        raise UnsafePath(f"{name[:80]!r} stands in the place of another: {why}") from None
    except OSError as why:
        if why.errno == errno.ENAMETOOLONG:
            raise UnsafePath(f"{name[:80]!r} has a part that is too long") from None
        raise
    return path


def _unlink_leading_out(links: list[Path], root: Path) -> list[Path]:
    bad = [path for path in links if path.is_symlink() and not is_inside(path, root)]
    for path in bad:
        path.unlink()
    return bad
