"""Files of the catalogue on this machine: stored and registered, found and fetched."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from pilotage.proto.api_data import FileDetail, FileItem, ReplicaItem, ReplicaView
from pilotage.proto.api_storages import StorageView
from pilotage.proto.catalogue import ReplicaState
from pilotage.proto.storages import is_good_path

from .errors import Invalid, NoCopy, NoStorage, NotFound, Refused, StorageTrouble
from .storages import Sums, fetch, remove, stored, sums_of

if TYPE_CHECKING:
    from .client import AsyncClient

FOLDER: Final = "put"  # on storages: below it lies what people have stored


class OfDataFiles:
    """What people do with files of the catalogue on their own machine."""

    async def put_file(
        self,
        path: Path,
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
        return await _put_file(
            client, path, did, storage=storage, metadata=metadata, datasets=datasets
        )

    async def get_file(self, did: str, to: Path) -> Path:
        """Fetch a file, checked, into a folder or as a file; return where it is. Raises NoCopy."""
        return await _get_file(cast("AsyncClient", self), did, to)

    async def get_found(self, query: Mapping[str, Any], to: Path) -> AsyncIterator[Path]:
        """Fetch all files that meet a query into a folder, and yield where each is.

        Raises NoCopy for the first one that cannot be fetched, Invalid for two with one place.
        """
        async for path in _get_found(cast("AsyncClient", self), query, to):
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
    target = await _storage_for(client, storage)
    sums = await asyncio.to_thread(sums_of, path)
    place = f"{FOLDER}/{uuid.uuid4().hex}/{did.rpartition(':')[2].rpartition('/')[2]}"
    if not is_good_path(place):
        raise Invalid("invalid", f"{did!r} names no file: expected SCOPE:NAME without blanks")
    has_copy = await _has_copy(client, did, sums, target.name)
    if not has_copy:
        sums = await asyncio.to_thread(stored, path, target, place)
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


async def _has_copy(client: "AsyncClient", did: str, sums: Sums, storage: str) -> bool:
    """Whether a storage has a copy of these very bytes under this name."""
    try:
        found = await client.file(did)
    except NotFound:
        return False
    is_same = (found.file.bytes, found.file.adler32) == (sums.size, sums.adler32)
    return is_same and any(
        one.storage == storage and one.state is ReplicaState.AVAILABLE for one in found.replicas
    )


async def _get_file(client: "AsyncClient", did: str, to: Path) -> Path:
    detail = await client.file(did)
    known = await _known(client)
    return await _fetched(detail, known, _target(to, did))


async def _get_found(
    client: "AsyncClient", query: Mapping[str, Any], to: Path
) -> AsyncIterator[Path]:
    known, seen = await _known(client), dict[Path, str]()
    await asyncio.to_thread(to.mkdir, parents=True, exist_ok=True)
    async for view in client.find_files(query):
        target = _target(to, view.did)
        if target in seen:
            why = f"{seen[target]} and {view.did} would both be {target}: fetch them one by one"
            raise Invalid("invalid", why)
        seen[target] = view.did
        yield await _fetched(await client.file(view.did), known, target)


def _target(to: Path, did: str) -> Path:
    return to / did.rpartition(":")[2].rpartition("/")[2] if to.is_dir() else to


async def _fetched(detail: FileDetail, known: Mapping[str, StorageView], target: Path) -> Path:
    """Fetch a file from the first of its copies that is right."""
    whys: list[str] = []
    view = detail.file
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
    said = "; ".join(whys) or "no storage that is in force has it"
    raise NoCopy(f"{view.did}: {said}")


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
        raise NoStorage(f"no storage is a default one: name one of {shown}")
    return max(defaults, key=lambda one: (one.priority, one.name))


async def _drop(storage: StorageView, path: str) -> None:
    """Take back a copy that nobody knows, as far as that goes."""
    with suppress(StorageTrouble):
        await asyncio.to_thread(remove, storage, path)
