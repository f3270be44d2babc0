"""What the central itself does on a storage: the port of types whose files it removes."""

from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from ..storages import StorageEntry
from .storage_http import RemoteStorages, StorageAway, StorageRefuses, scope_for
from .webdav import DavPlace, WebDav, place_at

NOT_MOUNTED: Final = (
    "it has no such file, but the folder of its URL is missing or empty, too: perhaps its disk is "
    "not mounted"
)


@dataclass(frozen=True)
class RemoteStorage:
    """A storage, with the drivers for requests to it."""

    name: str
    entry: StorageEntry
    remote: RemoteStorages

    async def token(self, *allowed: tuple[str, str]) -> str:
        """Return a token for these (operation, path). Raises StorageAway, StorageRefuses."""
        scopes = tuple(scope_for(operation, self.entry.prefix, path) for operation, path in allowed)
        return (await self.remote.tokens.token(self.name, scopes)).text

    async def place(self, path: str, *allowed: tuple[str, str], url: str = "") -> DavPlace:
        """Return the place of a path, with a token if anything is allowed.

        `url` replaces that of the storage. Raises StorageAway, StorageRefuses.
        """
        check_whole(path)
        token = await self.token(*allowed) if allowed else ""
        return place_at(url or self.entry.url, path, token=token, ca_file=self.entry.ca_file)

    async def remove_by_dav(
        self, path: str, *, is_folder: bool, size: int | None, url: str = ""
    ) -> None:
        """Remove as SweptType.remove does, by WebDAV."""
        dav = WebDav(self.remote.http)
        place = await self.place(path, ("modify", path), ("read", path), url=url)
        if await (dav.remove_folder(place) if is_folder else dav.remove(place, size)):
            return
        if not await dav.has_entries(await self.place("", ("read", ""), url=url)):
            raise StorageAway(NOT_MOUNTED)


def check_whole(path: str) -> None:
    """Raise StorageRefuses for a path with `?`: XRootD would remove the file named before it."""
    if "?" in path:
        raise StorageRefuses(f"{path!r} has a '?', at which servers of this type cut the name")


@runtime_checkable
class SweptType(Protocol):
    """A StorageType whose files the central removes, because no pilot may."""

    def unswept(self, entry: StorageEntry) -> str:
        """Return why this central cannot remove files there; empty: it can."""
        ...

    async def remove(
        self, storage: RemoteStorage, path: str, *, is_folder: bool, size: int | None
    ) -> None:
        """Remove a file, or a folder with its contents.

        A missing one counts as removed, unless the folder of the storage's URL is missing or empty:
        its disk may not be mounted.

        `size` is that of the file in bytes, None if unknown: a file of another size stays. Raises
        StorageAway, StorageRefuses.
        """
        ...


def unswept_here(entry: StorageEntry) -> str:
    """Return why this central cannot remove files of a storage; empty: it can, or jobs do."""
    return entry.kind.unswept(entry) if isinstance(entry.kind, SweptType) else ""
