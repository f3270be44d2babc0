"""Files of the catalogue on this machine: stored and registered, found and fetched."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from pilotage.proto.api.data import FileDetail, FileItem, FileView, ReplicaItem, ReplicaView
from pilotage.proto.api.storages import StorageView
from pilotage.proto.catalogue import PUT_FOLDER, BadCatalogueField, Did, FileState, ReplicaState
from pilotage.proto.storages import is_good_path

from .arguments import file_at, names_of
from .errors import (
    ClientError,
    FilesClash,
    FileThere,
    Invalid,
    NoCopy,
    NoStorage,
    NotFound,
    Refused,
    StorageTrouble,
)
from .files import clash_in
from .storage_copies import StreamChecksums, fetch, remove, remove_folder, stored, sums_of

if TYPE_CHECKING:
    from .client import AsyncClient

TOLD_MAX: Final = 20  # files of which it is said why they were not fetched
_STATES: Final = {
    FileState.AVAILABLE: "no storage that is in force has it",
    FileState.MISSING: "it is Missing: no copy of it can be read now",
    FileState.LOST: "it is Lost: all of its copies are corrupt",
    FileState.REMOVED: "it is Removed: somebody has taken it out of the catalogue",
}


class DataFileCalls:
    """What people do with files of the catalogue on their own machine."""

    async def put_file(
        self,
        path: Path | str,
        did: str,
        *,
        storage: str = "",
        metadata: Mapping[str, Any] | None = None,
        datasets: Iterable[str] = (),
    ) -> FileDetail:
        """Store a file of this machine on a storage, register it, return what the catalogue has.

        Without a storage one is taken to which outputs go by default. To repeat it changes nothing:
        a name that is there with the same bytes stays as it is.
        """
        client = cast("AsyncClient", self)
        file, lists = file_at(path), names_of(datasets)
        return await _put_file(
            client, file, did, storage=storage, metadata=metadata, datasets=lists
        )

    async def get_file(self, did: str, to: Path | str, *, force: bool = False) -> Path:
        """Fetch a file, checked, into a folder or as a file; return where it is.

        A file that is there with the same bytes stays. Raises NoCopy, and FileThere for one with
        other bytes, unless `force` lets it be replaced.
        """
        return await _get_file(cast("AsyncClient", self), did, Path(to), force)

    async def get_found(
        self, query: Mapping[str, Any], to: Path | str, *, force: bool = False
    ) -> AsyncIterator[Path]:
        """Fetch all files that meet a query into a folder, and yield where each is.

        Those that cannot be fetched are told at the end, as NoCopy or FileThere; the others are
        fetched. Raises FilesClash, before any is fetched, if two of them would be one file.
        """
        async for path in _get_found(cast("AsyncClient", self), query, Path(to), force):
            yield path


async def _put_file(
    client: "AsyncClient",
    path: Path,
    did: str,
    *,
    storage: str = "",
    metadata: Mapping[str, Any] | None = None,
    datasets: Iterable[str] = (),
) -> FileDetail:
    try:
        Did.parse(did)
    except BadCatalogueField as why:
        raise Invalid("invalid", str(why), why.field) from None
    target = await _storage_for(client, storage)
    sums = await asyncio.to_thread(sums_of, path)
    community = (await client.whoami()).community
    name = _name(did)
    place = f"{community}/{PUT_FOLDER}/{uuid.uuid4().hex}/{name}"
    if not is_good_path(place):
        raise Invalid("invalid", f"{did!r} names no file: expected SCOPE:NAME without blanks")
    has_copy = await _has_copy(client, did, sums, target.name)
    if not has_copy:
        try:
            sums = await asyncio.to_thread(stored, path, target, place)
        except StorageTrouble:
            await _drop(target, place)
            raise
    item = FileItem(
        did=did,
        bytes=sums.size,
        adler32=sums.adler32,
        sha256=sums.sha256,
        metadata=dict(metadata or {}),
        replicas=() if has_copy else (ReplicaItem(storage=target.name, path=place),),
        datasets=tuple(datasets),
    )
    try:
        reply = await client.register_files([item])
        for one in reply.refused:
            raise Invalid("invalid", one.message, one.field)
    except Refused:
        if not has_copy:
            await _drop(target, place)
        raise
    return await client.file(did)


async def _has_copy(client: "AsyncClient", did: str, sums: StreamChecksums, storage: str) -> bool:
    """Whether a storage has a copy of these very bytes under this name.

    Raises Invalid where the name has other bytes: nothing is copied then.
    """
    try:
        found = await client.file(did)
    except NotFound:
        return False
    view = found.file
    for field, there, new in (
        ("bytes", view.bytes, sums.size),
        ("adler32", view.adler32, sums.adler32),
        ("sha256", view.sha256, sums.sha256),
    ):
        if there != "" and there != new:
            why = f"{there}: {did} is there with other bytes, and files never change"
            raise Invalid("invalid", f"{field}: found {new}, expected {why}", field)
    return any(
        one.storage == storage and one.state is ReplicaState.AVAILABLE for one in found.replicas
    )


async def _get_file(client: "AsyncClient", did: str, to: Path, force: bool) -> Path:
    detail = await client.file(did)
    known = await _known(client)
    return await _fetched(detail, known, _target(to, did), force)


async def _get_found(
    client: "AsyncClient", query: Mapping[str, Any], to: Path, force: bool
) -> AsyncIterator[Path]:
    known = await _known(client)
    failures: list[ClientError] = []
    dids = [view.did async for view in client.find_files(query)]
    clash = clash_in((did, _name(did)) for did in dids)
    if clash is not None:
        why = (
            f"{clash[0]} and {clash[1]} clash in {to}, so nothing was fetched: narrow the "
            "conditions, or fetch them one by one, each --to another folder"
        )
        raise FilesClash(why)
    await asyncio.to_thread(to.mkdir, parents=True, exist_ok=True)
    for did in dids:
        try:
            path = await _fetched(await client.file(did), known, to / _name(did), force)
        except (NoCopy, FileThere) as why:
            failures.append(why)
            continue
        yield path
    if failures:
        raise _all(failures, len(dids))


def _all(failures: Sequence[ClientError], count: int) -> ClientError:
    """Return one error that says of each file why it is not here."""
    if len(failures) == count == 1:
        return failures[0]
    lines = [f"{len(failures)} of {count} files are not fetched:"]
    lines += [f"  {one}" for one in failures[:TOLD_MAX]]
    if len(failures) > TOLD_MAX:
        lines.append(f"  … and {len(failures) - TOLD_MAX} more")
    kind = NoCopy if any(isinstance(one, NoCopy) for one in failures) else FileThere
    return kind("\n".join(lines))


def _target(to: Path, did: str) -> Path:
    return to / _name(did) if to.is_dir() else to


def _name(did: str) -> str:
    return did.rpartition(":")[2].rpartition("/")[2]


async def _fetched(
    detail: FileDetail, known: Mapping[str, StorageView], target: Path, force: bool
) -> Path:
    """Fetch a file from the first of its copies that is right, unless it is here."""
    whys: list[str] = []
    view = detail.file
    if await asyncio.to_thread(_is_here, view, target, force):
        return target
    for copy in _ordered(detail.replicas, known):
        try:
            await asyncio.to_thread(
                fetch,
                known[copy.storage],
                copy.path,
                target,
                size=view.bytes,
                sums=(view.adler32, view.sha256),
            )
        except StorageTrouble as why:
            whys.append(str(why))
            continue
        return target
    raise NoCopy(f"{view.did}: {'; '.join(whys) or _STATES[view.state]}")


def _is_here(view: FileView, target: Path, force: bool) -> bool:
    """Whether the place has the very bytes. Raises FileThere for others, unless forced."""
    if not target.exists():
        return False
    if not target.is_file():
        raise FileThere(f"{view.did}: {target} is there, and is no file")
    if target.stat().st_size == view.bytes:
        sums = sums_of(target)
        pairs = ((view.adler32, sums.adler32), (view.sha256, sums.sha256))
        if all(wanted in ("", is_) for wanted, is_ in pairs):
            return True
    if not force:
        raise FileThere(f"{view.did}: {target} is there with other bytes; --force replaces it")
    return False


def _ordered(copies: Sequence[ReplicaView], known: Mapping[str, StorageView]) -> list[ReplicaView]:
    """Return copies that may be there: folders first, then by the storages' priority."""
    usable = [
        one
        for one in copies
        if one.state is ReplicaState.AVAILABLE
        and one.storage in known
        and known[one.storage].readable
    ]
    return sorted(
        usable,
        key=lambda one: (known[one.storage].type != "file", -known[one.storage].priority),
    )


async def _known(client: "AsyncClient") -> dict[str, StorageView]:
    return {one.name: one for one in (await client.storages()).storages if one.type}


async def _storage_for(client: "AsyncClient", name: str) -> StorageView:
    known = await _known(client)
    shown = ", ".join(sorted(known)) or "none"
    if name:
        if name not in known:
            raise NoStorage(f"there is no storage {name!r}, only {shown}")
        if not known[name].writable:
            raise NoStorage(f"nothing is written to the storage {name!r}")
        return known[name]
    defaults = [one for one in known.values() if one.default and one.writable]
    if not defaults:
        if not known:
            raise NoStorage("there is no storage: an operator writes a file of each")
        raise NoStorage(f"no storage is a default one: name one of {shown}")
    return max(defaults, key=lambda one: (one.priority, one.name))


async def _drop(storage: StorageView, path: str) -> None:
    """Take back a copy that nobody knows, as far as that goes."""
    with suppress(StorageTrouble):
        await asyncio.to_thread(remove, storage, path)
        if path.count("/") == 3:  # its folder is of this one file alone
            await asyncio.to_thread(remove_folder, storage, path.rpartition("/")[0])
