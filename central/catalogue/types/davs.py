"""`davs`: a WebDAV server over https that takes bearer tokens: XRootD, dCache, StoRM, EOS."""

from ..remote.removals import RemoteStorage
from ..storage_types import wrong_server
from ..storages import StorageEntry


class DavsType:
    """A StorageType whose URLs are folders of a WebDAV server. The central sweeps it."""

    tag = ""
    credential = "token"

    def wrong(self, url: str) -> str:
        return wrong_server(url, ("https",), "https://host:port/folder")

    def unswept(self, entry: StorageEntry) -> str:
        return ""

    async def remove(
        self, storage: RemoteStorage, path: str, *, is_folder: bool, size: int | None
    ) -> None:
        await storage.remove_by_dav(path, is_folder=is_folder, size=size)


TYPE = DavsType()
