"""Backs up the files that an operator wrote: of sites, storages and providers, and credentials."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from ...identity.providers.provider_files import FOLDER as PROVIDERS
from ...regular_files import read_regular
from ...rucio.files import FOLDER as RUCIO
from ..pilot_factory import SITES
from ..storages.setup import FOLDER as STORAGES

FOLDERS: Final = (SITES, STORAGES, PROVIDERS, RUCIO)
FILE_MAX_BYTES: Final = 4_000_000  # larger files are no site, storage or credential files


def is_declared(name: str) -> bool:
    """Return whether a name in a backup is that of such a file inside the folder."""
    path = PurePosixPath(name)
    inside = len(path.parts) > 1 and path.parts[0] in FOLDERS and ".." not in path.parts
    return inside and str(path) == name


def copy_declared(data: Path, target: Path) -> list[str]:
    """Copy the files to a backup; return those that were left out, with the reason.

    An unreadable file must not prevent a backup.
    """
    left_out: list[str] = []
    for name in FOLDERS:
        if (data / name).exists():
            for file in _below(data, name, left_out):
                _take(data, file, target, left_out)
    return left_out


def _below(data: Path, name: str, left_out: list[str]) -> Iterator[Path]:
    """Yield the files of one folder; for storages only its top, because jobs' data may be below."""
    top = data / name

    def unlisted(why: OSError) -> None:
        left_out.append(f"{Path(why.filename).relative_to(data)}: {why.strerror}")

    for place, folders, files in os.walk(top, onerror=unlisted):
        here = Path(place)
        yield from (here / one for one in sorted(files))
        if name == STORAGES:
            return
        folders.sort()
        for link in (here / one for one in folders if (here / one).is_symlink()):
            if not link.resolve().is_relative_to(top.resolve()):
                left_out.append(f"{link.relative_to(data)}: is a link to a folder elsewhere")


def _take(data: Path, file: Path, target: Path, left_out: list[str]) -> None:
    name = str(file.relative_to(data))
    try:
        name.encode()
        content = read_regular(file, FILE_MAX_BYTES + 1)
        runs = file.stat().st_mode & 0o100  # such as a program that prints a credential
    except UnicodeEncodeError:
        left_out.append(f"{name!r}: its name is not UTF-8")
        return
    except OSError as why:
        if file.is_symlink() or not isinstance(why, FileNotFoundError):
            left_out.append(f"{name}: {why.strerror}")
        return  # else it was removed in between
    if len(content) > FILE_MAX_BYTES:
        left_out.append(f"{name}: has more than {FILE_MAX_BYTES} bytes")
        return
    here = target / name
    for folder in reversed(here.relative_to(target).parents[:-1]):
        (target / folder).mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(here, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 | runs)
    with os.fdopen(descriptor, "wb") as copy:
        copy.write(content)
        copy.flush()
        os.fsync(copy.fileno())
