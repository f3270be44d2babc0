"""`get`: files come from their first good copy, and get their names once they are whole."""

import hashlib
import os
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from shlex import quote
from typing import Final
from urllib.parse import urlsplit

from pilotage.proto.api.data import FileCopies, FileView, ReplicaView
from pilotage.proto.api.storages import StorageView
from pilotage.proto.catalogue import FileState, ReplicaState

from ..errors import BadCopy, ClientError, FilesClash, FileThere, NoCopy, StorageTrouble
from ..files import clash_in, inside
from .local_sources import told
from .parallel import ByteCount, OnBytes, in_parallel
from .storage_copies import PATHS_TOGETHER, StorageCopies, difference, in_thread, size_of, sums_of

_NAME_BYTES: Final = 150  # of a name, in the name of its partial file
_STATES: Final = {
    FileState.AVAILABLE: "no configured storage has a copy",
    FileState.MISSING: "it is Missing: no copy can be read now",
    FileState.LOST: "it is Lost: all copies are corrupt",
    FileState.REMOVED: "it is Removed from the catalogue",
}


@dataclass(frozen=True)
class Wanted:
    """A file to fetch, and its path on this machine."""

    copies: FileCopies
    target: Path

    @property
    def view(self) -> FileView:
        return self.copies.file

    @cached_property
    def part(self) -> Path:
        """The partial file, which the same command continues. Other bytes have another one."""
        view = self.view
        key = f"{view.did} {view.bytes} {view.adler32} {view.sha256}"
        digest = hashlib.sha256(key.encode()).hexdigest()[:16]
        name = self.target.name.encode()[:_NAME_BYTES].decode(errors="ignore")
        return self.target.with_name(f".{name}.{digest}.part")


class Fetching:
    """One command that fetches files."""

    def __init__(self, copies: StorageCopies, known: Mapping[str, StorageView]) -> None:
        self._copies, self._known = copies, known
        self._paths = dict[str, list[str]]()  # by storage: what is read there, in order
        self._places = dict[tuple[str, str], int]()  # of a path in its list
        self._folders = set[Path]()  # that were made

    async def run(
        self,
        files: Sequence[Wanted],
        *,
        force: bool,
        parallel: int,
        on_progress: OnBytes | None,
    ) -> AsyncGenerator[Path]:
        """Fetch the files, and yield each path. Failures do not stop the others.

        Raises FileThere, before the first byte, for local files with other bytes, unless `force`.
        Raises NoCopy at the end.
        """
        count = ByteCount(sum(one.view.bytes for one in files), on_progress)
        here = await self._here(files, count, force=force, parallel=parallel)
        for one in here:
            yield one.target
        missing = [one for one in files if one not in here]
        for one in missing:
            for copy in ordered(one.copies.replicas, self._known)[:1]:
                paths = self._paths.setdefault(copy.storage, [])
                self._places[copy.storage, copy.path] = len(paths)
                paths.append(copy.path)
        failures = list[ClientError]()

        async def one_file(one: Wanted) -> Path | ClientError:
            try:
                await self._fetch(one, count)
            except OSError as why:
                return NoCopy(f"{one.view.did}: {why.filename or one.target}: {why.strerror}")
            except ClientError as why:
                return why
            finally:
                count.growing.discard(one.part)
                count.add(one.view.bytes)
            return one.target

        work = in_parallel(
            missing, one_file, parallel=parallel, count=count, pace=self._copies.pace
        )
        async with aclosing(work):
            async for found in work:
                if isinstance(found, Path):
                    yield found
                else:
                    failures.append(found)
        if len(failures) == len(files) == 1:
            raise failures[0]
        if failures:
            kind = f"of {len(files)} files were not fetched"
            raise NoCopy(told(kind, [str(one) for one in failures], always=True))

    async def _here(
        self, files: Sequence[Wanted], count: ByteCount, *, force: bool, parallel: int
    ) -> list[Wanted]:
        """Return the files that are here already. Raises FileThere, before anything is fetched."""
        here, wrong = list[Wanted](), list[str]()

        async def look(one: Wanted) -> None:
            try:
                if await is_here(one, force=force):
                    here.append(one)
                    count.add(one.view.bytes)
            except FileThere as why:
                wrong.append(str(why))

        there = [one for one in files if _is_in_the_way(one.target)]
        async for _ in in_parallel(
            there, look, parallel=parallel, count=count, pace=self._copies.pace
        ):
            pass
        if wrong:
            raise FileThere(told("local files are in the way; nothing was fetched", wrong))
        return here

    async def _fetch(self, one: Wanted, count: ByteCount) -> None:
        """Fetch a file from its first good copy. Raises NoCopy with the reason for each copy."""
        whys = list[str]()
        folder = one.target.parent
        if folder not in self._folders:
            folder.mkdir(parents=True, exist_ok=True)
            self._folders.add(folder)
        with _kept(one):
            count.growing.add(one.part)
            for copy in ordered(one.copies.replicas, self._known):
                try:
                    await self._copy(one, copy)
                except StorageTrouble as why:
                    whys.append(str(why))
                    continue
                os.replace(one.part, one.target)
                return
        raise NoCopy(f"{one.view.did}: {'; '.join(whys) or _STATES[one.view.state]}")

    async def _copy(self, one: Wanted, copy: ReplicaView) -> None:
        """Complete the partial file from a copy. Raises StorageTrouble, and BadCopy if it is bad.

        Bytes of an earlier command may be wrong: then the copy is fetched again, from its start.
        """
        view, storage = one.view, self._known[copy.storage]
        part = one.part
        here = size_of(part)
        for is_last in (here == 0, True):
            if here == view.bytes > 0:
                sums = await in_thread(lambda go_on: sums_of(part, go_on), view.bytes)
            else:
                if here > view.bytes:
                    os.truncate(part, 0)  # the same file, which this process holds
                soon = self._soon(copy)
                sums = await self._copies.get(storage, copy.path, part, view, soon)
            unlike = difference(view, sums)
            if unlike is None:
                return
            os.truncate(part, here := 0)
            if is_last:
                declare = f"pilotage data bad {quote(view.did)} --storage {quote(copy.storage)}"
                why = f"{_words(copy.path, unlike)}; to declare it bad: {declare}"
                raise BadCopy(copy.storage, why)

    def _soon(self, copy: ReplicaView) -> list[str]:
        """Return paths that are read after this one, for which one credential may serve."""
        paths = self._paths.get(copy.storage, [])
        start = self._places.get((copy.storage, copy.path), len(paths))
        return paths[start : start + PATHS_TOGETHER]


def wanted_at(
    files: Sequence[tuple[FileCopies, str]], to: Path, *, recursive: bool
) -> list[Wanted]:
    """Return the files with their targets in a folder. Raises FilesClash.

    With `recursive`, files keep the folders of their names. Each file comes with the first part of
    its name that its target leaves out.
    """
    names = [
        (one.file.did, _below(one.file.did, base) if recursive else last_part(one.file.did))
        for one, base in files
    ]
    clash = clash_in(names)
    if clash is not None:
        keep = "" if recursive else "keep the folders of their names (--recursive), or "
        why = (
            f"{clash[0]} and {clash[1]} clash in {to}; nothing was fetched: {keep}"
            "fetch them one by one into different folders (--to)"
        )
        raise FilesClash(why)
    wanted = [
        Wanted(one, inside(to, name)) for (one, _), (_, name) in zip(files, names, strict=True)
    ]
    parts = {one.part: one for one in wanted}
    for one in wanted:  # else one file could take the place of another after its check
        if (other := parts.get(one.target)) is not None:
            why = f"{one.view.did} has the name of the partial file of {other.view.did}"
            raise FilesClash(f"{why}; nothing was fetched: fetch it alone")
    return wanted


def last_part(did: str) -> str:
    """Return the last part of a name, which a file has in a folder."""
    return did.rpartition(":")[2].rpartition("/")[2]


def _below(did: str, base: str) -> str:
    return did.partition(":")[2].removeprefix(base)


async def is_here(one: Wanted, *, force: bool) -> bool:
    """Return whether the target has these bytes. Raises FileThere for others, unless `force`."""
    view, target = one.view, one.target
    _check_place(one)
    if size_of(target) == view.bytes and target.is_file():
        sums = await in_thread(lambda go_on: sums_of(target, go_on), view.bytes)
        if difference(view, sums) is None:
            return True
    if not force:
        raise FileThere(f"{view.did}: {target} exists with other bytes; --force replaces it")
    return False


def _is_in_the_way(target: Path) -> bool:
    """Return whether something is at the target, or a file where a folder must be."""
    return os.path.lexists(target) or not _has_room(target)


def _check_place(one: Wanted) -> None:
    """Raise FileThere if something else than a file is at the target."""
    if not _has_room(one.target):
        raise FileThere(f"{one.view.did}: a part of {one.target} is a file, not a folder")
    if not one.target.is_file():
        raise FileThere(f"{one.view.did}: {one.target} exists, and is not a file")


def ordered(copies: Sequence[ReplicaView], known: Mapping[str, StorageView]) -> list[ReplicaView]:
    """Return the usable copies: those in local folders first, then by priority of the storage."""
    usable = [
        one
        for one in copies
        if one.state is ReplicaState.AVAILABLE
        and one.storage in known
        and known[one.storage].readable
    ]
    return sorted(
        usable,
        key=lambda one: (
            bool(urlsplit(known[one.storage].url).hostname),
            -known[one.storage].priority,
        ),
    )


@contextmanager
def _kept(one: Wanted) -> Generator[None]:
    """Hold the partial file for this process. An empty one is removed at the end.

    Raises FileThere if another process fetches the same file.
    """
    import fcntl  # missing on systems that have no folders as storages either

    handle = os.open(one.part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = f"{one.view.did}: another process fetches it to {one.target}"
            raise FileThere(text) from None
        except OSError:  # a file system without locks
            pass
        try:
            yield
        finally:
            if not os.fstat(handle).st_size:
                one.part.unlink(missing_ok=True)
    finally:
        os.close(handle)


def _has_room(target: Path) -> bool:
    """Return whether all that exists above a target are folders."""
    above = next((one for one in target.parents if os.path.lexists(one)), None)
    return above is None or above.is_dir()


def _words(path: str, unlike: tuple[str, object, object]) -> str:
    field, wanted, found = unlike
    if field == "bytes":
        return f"{path} has {found} bytes, expected {wanted}"
    return f"{path} has the checksum {found}, expected {wanted}"
