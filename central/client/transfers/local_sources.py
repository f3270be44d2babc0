"""The local files that a command stores, and their names in the catalogue. Pure but for the disk.

Files and folders keep their names below the target, as with `cp`.
"""

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from pilotage.proto.catalogue import BadCatalogueField, Did

from ..errors import FilesClash, Invalid

TOLD_MAX: Final = 20  # mistakes that one error describes


class LocalSource(NamedTuple):
    """A local file, and its name in the catalogue."""

    path: Path
    did: str


def is_folder(name: str) -> bool:
    """Return whether a name in the catalogue stands for all files below it: `SCOPE:` or `…/`."""
    return name.endswith((":", "/"))


def is_pattern(name: str) -> bool:
    """Return whether a name in the catalogue is a pattern."""
    return "*" in name or "?" in name


def sources_of(sources: Iterable[Path | str], target: str, *, recursive: bool) -> list[LocalSource]:
    """Return the files that the sources name, in order. Nothing is read yet.

    A source is a file, a folder (if `recursive`), or a pattern with `*`, `?` and `**`. The target
    is the name of one file, or ends with `/` or `:`. Raises Invalid, and FilesClash if two files
    get one name.
    """
    found = list[tuple[str, str]]()  # path, and name below the target
    for source in sources:
        found += _expanded(os.fspath(source), recursive=recursive)
    if not is_folder(target):
        if len(found) != 1 or found[0][1] != os.path.basename(found[0][0]):
            right = f"end it with / to store {len(found)} files below it ({target}/)"
            raise Invalid("invalid", f"{target!r} is the name of one file: {right}", "did")
        named = [LocalSource(Path(found[0][0]), target)]
    else:
        named = [LocalSource(Path(path), target + name) for path, name in found]
    _check_names(named)
    return named


def told(kind: str, lines: list[str], *, always: bool = False) -> str:
    """Return one text for several mistakes: the first ones, and a count of the others.

    A single one stands alone, unless `always` asks for the first line.
    """
    if len(lines) == 1 and not always:
        return lines[0]
    more = [f"  … and {len(lines) - TOLD_MAX} more"] if len(lines) > TOLD_MAX else []
    return "\n".join([f"{len(lines)} {kind}:", *(f"  {one}" for one in lines[:TOLD_MAX]), *more])


def _expanded(source: str, *, recursive: bool) -> Iterator[tuple[str, str]]:
    """Yield path and name of each file of one source."""
    if os.path.lexists(source):
        if os.path.isdir(source) and not recursive:
            raise Invalid("invalid", f"{source} is a folder: add --recursive", "path")
        yield from _files_at(source)
        return
    matching = sorted(glob.glob(source, recursive=True)) if glob.has_magic(source) else []
    matching = [one for one in matching if recursive or not os.path.isdir(one)]
    if not matching:
        why = "no file matches" if glob.has_magic(source) else "there is no such file"
        raise Invalid("invalid", f"{source}: {why}", "path")
    for one in matching:
        yield from _files_at(one)


def _files_at(path: str) -> Iterator[tuple[str, str]]:
    """Yield a file, or the files of a folder. Links to folders inside it are not followed."""
    if not os.path.isdir(path):
        _check_file(path)
        yield path, os.path.basename(path)
        return
    top = path.rstrip("/") or "/"
    above = top if os.path.basename(top) in ("", ".", "..") else os.path.dirname(top)
    count = 0

    def unreadable(why: OSError) -> None:
        raise why

    for folder, folders, names in os.walk(top, onerror=unreadable):
        folders.sort()
        for name in sorted(names):
            one = os.path.join(folder, name)
            _check_file(one)
            count += 1
            yield one, os.path.relpath(one, above or ".")
    if not count:
        raise Invalid("invalid", f"{path}: there are no files in this folder", "path")


def _check_file(path: str) -> None:
    if not os.path.isfile(path):
        raise Invalid("invalid", f"{path} is not a file", "path")
    if not os.access(path, os.R_OK):
        raise Invalid("invalid", f"{path} cannot be read: permission denied", "path")


def _check_names(files: list[LocalSource]) -> None:
    wrong, by_name, twice = list[str](), dict[str, Path](), list[str]()
    for one in files:
        try:
            Did.parse(one.did)
        except BadCatalogueField as why:
            wrong.append(f"{one.path}: {why}")
        other = by_name.setdefault(one.did, one.path)
        if other != one.path:
            twice.append(f"{other} and {one.path} would both be {one.did}")
    if wrong:
        raise Invalid("invalid", told("names are refused; nothing was sent", wrong), "did")
    if twice:
        raise FilesClash(told("names are taken twice; nothing was sent", twice))
