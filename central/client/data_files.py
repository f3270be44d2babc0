"""Transfers of catalogue files: `put` stores and registers them, `get` fetches them."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from pilotage.proto.api.data import FileDetail, FileItem, FileView, ReplicaItem, ReplicaView
from pilotage.proto.api.storages import NO_STORAGES, StorageView
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

TOLD_MAX: Final = 20  # failures that one error describes
_STATES: Final = {
    FileState.AVAILABLE: "no configured storage has a copy",
    FileState.MISSING: "it is Missing: no copy can be read now",
    FileState.LOST: "it is Lost: all copies are corrupt",
    FileState.REMOVED: "it is Removed from the catalogue",
}


class DataFileCalls:
    """The methods of the client that transfer files of the catalogue."""

    async def put_file(
        self,
        path: Path | str,
        did: str,
        *,
        storage: str = "",
        metadata: Mapping[str, Any] | None = None,
        datasets: Iterable[str] = (),
    ) -> FileDetail:
        """Store a local file on a storage, register it, and return its catalogue entry.

        Without `storage` it uses a default storage. Repeating changes nothing: a name with the same
        bytes stays as it is.
        """
        client = cast("AsyncClient", self)
        file, lists = file_at(path), names_of(datasets)
        return await _put_file(
            client, file, did, storage=storage, metadata=metadata, datasets=lists
        )

    async def get_file(self, did: str, to: Path | str, *, force: bool = False) -> Path:
        """Fetch a file into a folder or to a path, verify its checksums, and return the path.

        A local file with the same bytes stays. Raises NoCopy, and FileThere for a local file with
        other bytes, unless `force` is set.
        """
        return await _get_file(cast("AsyncClient", self), did, Path(to), force)

    async def get_found(
        self, query: Mapping[str, Any], to: Path | str, *, force: bool = False
    ) -> AsyncIterator[Path]:
        """Fetch all files that meet a query into a folder, and yield their paths.

        Failures do not stop the others; they are raised at the end as NoCopy or FileThere. Raises
        FilesClash, before it fetches any file, if two files have the same place.
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
        raise Invalid(
            "invalid", f"{did!r} is not the name of a file: expected SCOPE:NAME without blanks"
        )
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
    """Return whether a storage has a copy of these bytes under this name.

    Raises Invalid if the name has other bytes.
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
            f"{clash[0]} and {clash[1]} clash in {to}; nothing was fetched: narrow the "
            "conditions, or fetch them one by one into different folders (--to)"
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
    """Return one error with the reasons for all files that were not fetched."""
    if len(failures) == count == 1:
        return failures[0]
    lines = [f"{len(failures)} of {count} files were not fetched:"]
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
    """Fetch a file from its first good copy, unless it is here already."""
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
    """Return whether the target has these bytes. Raises FileThere for others, unless `force`."""
    if not target.exists():
        return False
    if not target.is_file():
        raise FileThere(f"{view.did}: {target} exists, and is not a file")
    if target.stat().st_size == view.bytes:
        sums = sums_of(target)
        pairs = ((view.adler32, sums.adler32), (view.sha256, sums.sha256))
        if all(wanted in ("", is_) for wanted, is_ in pairs):
            return True
    if not force:
        raise FileThere(f"{view.did}: {target} exists with other bytes; --force replaces it")
    return False


def _ordered(copies: Sequence[ReplicaView], known: Mapping[str, StorageView]) -> list[ReplicaView]:
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
        key=lambda one: (known[one.storage].type != "file", -known[one.storage].priority),
    )


async def _known(client: "AsyncClient") -> dict[str, StorageView]:
    return {one.name: one for one in (await client.storages()).storages if one.type}


async def _storage_for(client: "AsyncClient", name: str) -> StorageView:
    known = await _known(client)
    if not known:
        raise NoStorage(NO_STORAGES)
    shown = ", ".join(sorted(known))
    if name:
        if name not in known:
            raise NoStorage(f"there is no storage {name!r}: choose one of {shown}")
        if not known[name].writable:
            raise NoStorage(f"the storage {name!r} is not writable")
        return known[name]
    defaults = [one for one in known.values() if one.default and one.writable]
    if not defaults:
        raise NoStorage(f"there is no default storage: choose one of {shown}")
    return max(defaults, key=lambda one: (one.priority, one.name))


async def _drop(storage: StorageView, path: str) -> None:
    """Remove a copy that was not registered. Errors are ignored."""
    with suppress(StorageTrouble):
        await asyncio.to_thread(remove, storage, path)
        if path.count("/") == 3:  # its folder has only this file
            await asyncio.to_thread(remove_folder, storage, path.rpartition("/")[0])
