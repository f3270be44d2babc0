"""`put`: local files go to a storage, and into the catalogue once they are whole."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pilotage.proto.api.data import (
    ITEMS_MAX,
    FileCopies,
    FileItem,
    ItemsReply,
    RegisterRequest,
    ReplicaItem,
)
from pilotage.proto.api.storages import NO_STORAGES, StorageView
from pilotage.proto.catalogue import PUT_FOLDER, ReplicaState
from pilotage.proto.storages import is_good_path
from pilotage.proto.tasks import time_limit

from ..errors import (
    ClientError,
    Invalid,
    NoCredential,
    NoStorage,
    NotStored,
    Refused,
    StorageTrouble,
)
from .file_lists import files_named
from .local_sources import LocalSource, told
from .parallel import ByteCount, OnBytes, in_parallel
from .storage_copies import (
    EMPTY_ADLER32,
    Checksums,
    StorageCopies,
    difference,
    in_thread,
    size_of,
    sums_of,
)

if TYPE_CHECKING:
    from ..client import AsyncClient

REGISTERED_S: Final = 30.0  # that an interrupted command waits for a registration that has begun


@dataclass(frozen=True)
class StoredFile:
    """A local file that the catalogue has now."""

    path: Path
    did: str
    bytes: int
    storage: str
    place: str  # below the storage's URL
    is_new: bool = True  # false: the storage had it already


@dataclass(frozen=True)
class Planned:
    """A file to store. `sums` are known if the catalogue has the name already."""

    source: LocalSource
    size: int
    place: str
    sums: Checksums | None = None
    is_there: bool = False  # on this storage, so that nothing is sent


class Storing:
    """One command that stores files on one storage."""

    def __init__(
        self,
        client: "AsyncClient",
        copies: StorageCopies,
        *,
        storage: str,
        metadata: Mapping[str, Any] | None,
        datasets: Sequence[str],
    ) -> None:
        self._client, self._copies = client, copies
        self._wanted, self._metadata, self._datasets = storage, dict(metadata or {}), datasets
        self._storage = StorageView(name="")

    async def run(
        self, sources: Sequence[LocalSource], *, parallel: int, on_progress: OnBytes | None
    ) -> AsyncGenerator[StoredFile]:
        """Store the files, and yield each. Failures do not stop the others.

        Raises Invalid, before the first byte is sent, for what the catalogue would refuse, and
        NotStored at the end.
        """
        self._storage = await storage_for(self._client, self._wanted)
        self._copies.driver(self._storage)
        planned = await self._plan(sources, parallel=parallel)
        await self._check(planned)
        count = ByteCount(sum(one.size for one in planned), on_progress)
        failures = list[ClientError]()

        async def one_file(one: Planned) -> StoredFile | ClientError:
            try:
                return await self._store(one)
            except OSError as why:
                return NotStored(f"{why.filename or one.source.path}: {why.strerror or why}")
            except ClientError as why:
                return why
            finally:
                count.add(one.size)

        work = in_parallel(
            planned, one_file, parallel=parallel, count=count, pace=self._copies.pace
        )
        async with aclosing(work):
            async for found in work:
                if isinstance(found, StoredFile):
                    yield found
                else:
                    failures.append(found)
        if len(failures) == len(planned) == 1:
            raise failures[0]
        if failures:
            what = f"of {len(planned)} files were not stored; repeat the command to continue"
            raise NotStored(told(what, [str(one) for one in failures], always=True))

    async def _plan(self, sources: Sequence[LocalSource], *, parallel: int) -> list[Planned]:
        """Compare the files with the catalogue. Raises Invalid for names with other bytes."""
        community = (await self._client.whoami()).community
        there = {
            one.file.did: one
            async for one in files_named(self._copies.transport, [one.did for one in sources])
        }
        planned, wrong = list[Planned](), list[str]()
        for one in sources:
            name = one.did.rpartition(":")[2].rpartition("/")[2]
            place = f"{community}/{PUT_FOLDER}/{uuid.uuid4().hex}/{name}"
            if not is_good_path(place):
                wrong.append(f"{one.did!r}: its last part is too long: {len(name)} characters")
                continue
            planned.append(Planned(one, size_of(one.path), place))

        async def compared(new: Planned) -> Planned:
            known = there.get(new.source.did)
            try:
                return new if known is None else await self._compared(new, known)
            except Invalid as why:
                wrong.append(why.message)
                return new

        silent, pace = ByteCount(0, None), self._copies.pace
        work = in_parallel(planned, compared, parallel=parallel, count=silent, pace=pace)
        async with aclosing(work):
            planned = [one async for one in work]
        if wrong:
            raise Invalid("invalid", told("files are refused; nothing was sent", wrong), "did")
        return planned

    async def _compared(self, new: Planned, known: FileCopies) -> Planned:
        """Return the plan for a name that the catalogue has. Raises Invalid for other bytes."""
        view, path = known.file, new.source.path
        if view.bytes == new.size:
            sums = await in_thread(lambda go_on: sums_of(path, go_on), new.size)
        else:
            sums = Checksums(new.size, "", "")
        unlike = difference(view, sums)
        if unlike is not None:
            field, wanted, found = unlike
            why = f"{wanted}: {view.did} is there with other bytes, and files never change"
            raise Invalid("invalid", f"{field}: found {found}, expected {why}", field)
        for copy in known.replicas:
            if copy.storage == self._storage.name and copy.state is ReplicaState.AVAILABLE:
                return replace(new, sums=sums, is_there=True, place=copy.path)
        return replace(new, sums=sums)

    async def _check(self, planned: Sequence[Planned]) -> None:
        """Raise Invalid for files that the catalogue would not register."""
        refused = list[str]()
        for start in range(0, len(planned), ITEMS_MAX):
            # A new file has no checksum yet; the catalogue only looks for one.
            items = [
                self._item(one, one.sums or Checksums(one.size, EMPTY_ADLER32, ""))
                for one in planned[start : start + ITEMS_MAX]
            ]
            reply = await self._copies.transport.ask(
                ItemsReply,
                "POST",
                "/v1/data/files",
                body=RegisterRequest(files=tuple(items), dry_run=True),
            )
            refused += [f"{one.did}: {one.message}" for one in reply.refused]
        if refused:
            raise Invalid("invalid", told("files are refused; nothing was sent", refused), "did")

    def _item(self, one: Planned, sums: Checksums) -> FileItem:
        copy = ReplicaItem(storage=self._storage.name, path=one.place)
        return FileItem(
            did=one.source.did,
            bytes=sums.size_bytes,
            adler32=sums.adler32,
            sha256=sums.sha256,
            metadata=self._metadata,
            replicas=() if one.is_there else (copy,),
            datasets=tuple(self._datasets),
        )

    async def _store(self, one: Planned) -> StoredFile:
        sums = one.sums
        if not one.is_there:
            try:
                sums = await self._copies.put(self._storage, one.source.path, one.place)
            except NoCredential:
                raise  # nothing to take back
            except (StorageTrouble, OSError) as why:
                await self._take_back(one, why.why if isinstance(why, StorageTrouble) else str(why))
                raise
            except asyncio.CancelledError:
                with suppress(StorageTrouble):
                    await self._take_back(one, "it was interrupted")
                raise
        assert sums is not None
        if not one.is_there or self._metadata or self._datasets:
            await self._register(one, sums)
        return StoredFile(
            *(one.source.path, one.source.did, sums.size_bytes, self._storage.name, one.place),
            is_new=not one.is_there,
        )

    async def _register(self, one: Planned, sums: Checksums) -> None:
        """Register a whole file. If that is refused, remove the copy.

        An interrupt waits for the answer, so that a registered file keeps its copy.
        """
        ended, replies = asyncio.Event(), list[ItemsReply | ClientError]()

        async def register() -> None:
            try:
                replies.append(await self._client.register_files([self._item(one, sums)]))
            except ClientError as why:
                replies.append(why)
            finally:
                ended.set()

        try:
            await asyncio.shield(register())
        except asyncio.CancelledError:
            with suppress(asyncio.TimeoutError):
                async with time_limit(REGISTERED_S):
                    await ended.wait()
            with suppress(ClientError):
                for reply in replies:
                    await self._judge(one, reply)
            raise
        await self._judge(one, replies[0])

    async def _judge(self, one: Planned, reply: ItemsReply | ClientError) -> None:
        """Raise the error of a registration. A refused file is removed; another may be there."""
        why = reply if isinstance(reply, ClientError) else None
        if isinstance(reply, ItemsReply) and reply.refused:
            first = reply.refused[0]
            why = Invalid("invalid", f"{first.did}: {first.message}", first.field)
        if isinstance(why, Refused) and not one.is_there:
            await self._take_back(one, str(why))
        if why is not None:
            raise why

    async def _take_back(self, one: Planned, why: str) -> None:
        """Remove what an upload may have left. Raises StorageTrouble if it may stay."""
        try:
            await self._copies.drop(self._storage, one.place)
        except StorageTrouble as left:
            raise StorageTrouble(self._storage.name, f"{why}; {left.why}") from None


async def storages_of(client: "AsyncClient") -> dict[str, StorageView]:
    """Return the storages whose files are valid, by name."""
    return {one.name: one for one in (await client.storages()).storages if one.type}


async def storage_for(client: "AsyncClient", name: str) -> StorageView:
    """Return the storage to write to; without a name a default one. Raises NoStorage."""
    known = await storages_of(client)
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
