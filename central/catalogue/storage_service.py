"""The views of storages, and the loop that reads their files."""

import asyncio
from typing import Any, Final

import msgspec

from pilotage.proto.api.storages import StorageCheck, StorageList, StorageView
from pilotage.proto.problems import Code

from ..errors import Refused
from ..identity.callers import User
from ..ports import Clock
from .remote.removals import unswept_here
from .remote.storage_checks import StorageChecks
from .storages import StorageBook, StorageEntry, Storages

LOOK_S: Final = 5.0


class StorageService:
    """Shows storages to permitted users."""

    def __init__(self, storages: Storages, checks: StorageChecks, clock: Clock) -> None:
        self._storages, self._checks, self._clock = storages, checks, clock

    async def all(self, caller: object) -> StorageList:
        """Return all storages in order of name."""
        return listed(self._storages.book)

    async def show(self, caller: object, name: str) -> StorageView:
        """Return one storage. Raises Refused, NOT_FOUND."""
        for one in listed(self._storages.book).storages:
            if one.name == name:
                return one
        known = ", ".join(sorted(self._storages.book.storages)) or "none"
        raise Refused(
            Code.NOT_FOUND, f"unknown storage {name!r}; known storages: {known}", field="storage"
        )

    async def check(self, caller: User, name: str) -> StorageCheck:
        """Try a storage with the tokens of jobs. Raises Refused."""
        return await self._checks.check(caller, name)

    async def run(self) -> None:
        """Read changed files, until it is cancelled. A hanging disk blocks this loop only."""
        while self._storages.folder is not None:
            await self._clock.sleep(LOOK_S)
            await asyncio.to_thread(self._storages.look)


def listed(book: StorageBook) -> StorageList:
    """Return the view of all storages of a book, including those whose file has an error."""
    names = sorted({*book.storages, *book.troubles})
    views = [
        StorageView(
            name=name,
            trouble=book.troubles.get(name, "") or _unswept(book.storages[name]),
            **(_fields(book.storages[name]) if name in book.storages else {}),
        )
        for name in names
    ]
    return StorageList(storages=views, trouble=book.unlisted)


def _unswept(entry: StorageEntry) -> str:
    """Return why a storage is not swept against its file, or an empty text."""
    why = unswept_here(entry) if entry.deletes else ""
    return f"deletes: nobody deletes there: {why}" if why else ""


def _fields(entry: StorageEntry) -> dict[str, Any]:
    """Return the fields to show: of a credential, only the source."""
    credential = entry.credential.source if entry.credential is not None else ""
    fields = {"credential": credential, "signed_urls": entry.signed_urls}
    return {**msgspec.structs.asdict(entry), **fields}
