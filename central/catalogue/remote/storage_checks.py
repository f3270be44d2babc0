"""`pilotage storage check NAME`: tries a storage with the tokens that jobs and the central get."""

import zlib
from collections.abc import Awaitable
from typing import Final

from pilotage.proto.api.storages import StorageCheck, StorageCheckStep
from pilotage.proto.problems import Code

from ...errors import Refused
from ...identity.callers import User
from ...ports import Randomness
from ..storage_types import types_with
from ..storages import Storages
from .removals import RemoteStorage
from .storage_http import RemoteStorages, StorageAway, StorageRefuses
from .webdav import WebDav

CONTENT: Final = b"pilotage checks this storage\n"
FOLDER: Final = "pilotage-check"


class StorageChecks:
    """Stores, reads and removes a small file, and tries what tokens must not allow."""

    def __init__(
        self, storages: Storages, remote: RemoteStorages | None, randomness: Randomness
    ) -> None:
        """`remote` is None in a central that does not work on storages."""
        self._storages, self._remote, self._randomness = storages, remote, randomness

    async def check(self, caller: User, name: str) -> StorageCheck:
        """Check a storage, in a folder of the caller's community. Raises Refused."""
        entry = self._storages.book.storages.get(name)
        if entry is None:
            known = ", ".join(sorted(self._storages.book.storages)) or "none"
            why = f"unknown storage {name!r}; known storages: {known}"
            raise Refused(Code.NOT_FOUND, why, field="storage")
        if not entry.kind.webdav or self._remote is None:
            right = types_with(lambda one: one.webdav)
            why = f"found {name!r} of the type {entry.type}, expected a storage of the type "
            why += f"{right}; try another type with `pilotage data put --storage {name}`"
            raise Refused(Code.ILLEGAL_STATE, f"storage: {why}", field="storage")
        parts = filter(None, (caller.community, FOLDER, self._randomness.token(9)))
        attempt = _Attempt(RemoteStorage(name, entry, self._remote), "/".join(parts))
        await attempt.run()
        steps = attempt.steps
        return StorageCheck(storage=name, ok=all(one.ok for one in steps), steps=steps)


class _Attempt:
    """One check of a storage, in a folder of its own."""

    def __init__(self, storage: RemoteStorage, folder: str) -> None:
        self._storage, self._dav = storage, WebDav(storage.remote.http)
        self._folder = folder
        self._file = f"{folder}/file"
        self.steps: list[StorageCheckStep] = []

    async def run(self) -> None:
        """Do all steps. If the first one fails, no other is tried."""
        if not await self._works("store a file", self._put(self._file, self._folder)):
            return
        await self._works("confirm size and checksum", self._size())
        await self._works("read it", self._get(("read", self._file)))
        if self._storage.entry.credential is not None:
            await self._never("replace it with a job's token", self._put(self._file, self._folder))
            await self._never("remove it with a job's token", self._remove("create"))
            beside = f"{self._folder}-2/file"
            await self._never("store in another job's folder", self._put(beside, self._folder))
            another = self._get(("read", f"{self._folder}/another"))
            await self._never("read it with a token for another file", another)
            await self._never("read it without a token", self._get())
        await self._works("remove it", self._remove("modify"))
        wide = self._storage.remote.tokens.width(self._storage.name)
        if wide:
            self.steps.append(StorageCheckStep(what="give narrow tokens", ok=False, said=wide))

    async def _works(self, what: str, doing: Awaitable[None]) -> bool:
        """Note whether a step works."""
        try:
            await doing
        except (StorageAway, StorageRefuses) as why:
            self.steps.append(StorageCheckStep(what=what, ok=False, said=str(why)))
            return False
        self.steps.append(StorageCheckStep(what=what, ok=True))
        return True

    async def _never(self, what: str, doing: Awaitable[None]) -> None:
        """Note whether the storage refuses what no job may do."""
        try:
            await doing
        except StorageRefuses as why:
            self.steps.append(StorageCheckStep(what=f"refuse to {what}", ok=True, said=str(why)))
        except StorageAway as why:
            self.steps.append(StorageCheckStep(what=f"refuse to {what}", ok=False, said=str(why)))
        else:
            said = "the storage allowed it"
            self.steps.append(StorageCheckStep(what=f"refuse to {what}", ok=False, said=said))

    async def _put(self, path: str, folder: str) -> None:
        await self._dav.put(await self._storage.place(path, ("create", folder)), CONTENT)

    async def _size(self) -> None:
        """Raise StorageRefuses if the stored size or checksum is wrong."""
        found = await self._dav.size(
            await self._storage.place(self._file, ("create", self._folder))
        )
        size = "nothing" if found is None else f"{found.size} bytes"
        if found is None or found.size != len(CONTENT):
            raise StorageRefuses(f"it has {size}, but {len(CONTENT)} bytes were stored")
        if self._storage.entry.checksum and found.adler32 != f"{zlib.adler32(CONTENT):08x}":
            told = found.adler32 or "no checksum"
            raise StorageRefuses(f"it tells {told}, expected adler32 {zlib.adler32(CONTENT):08x}")

    async def _get(self, *allowed: tuple[str, str]) -> None:
        if await self._dav.get(await self._storage.place(self._file, *allowed)) != CONTENT:
            raise StorageRefuses("it gives other bytes than were stored")

    async def _remove(self, operation: str) -> None:
        await self._dav.remove(await self._storage.place(self._file, (operation, self._folder)))
