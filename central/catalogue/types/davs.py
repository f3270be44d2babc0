"""`davs`: a WebDAV server over https that takes bearer tokens: XRootD, dCache, StoRM, EOS."""

from types import MappingProxyType

from ..remote.removals import RemoteStorage
from ..storage_types import StorageType, wrong_https
from ..storages import StorageEntry


class DavsType(StorageType):
    """A StorageType whose URLs are folders of a WebDAV server. The central sweeps it."""

    credential = "token"
    webdav = True
    pfn_schemes = MappingProxyType({"davs": 443, "https": 443})

    def wrong(self, url: str) -> str:
        return wrong_https(url)

    def unswept(self, entry: StorageEntry) -> str:
        return ""

    async def remove(
        self, storage: RemoteStorage, path: str, *, is_folder: bool, size: int | None
    ) -> None:
        await storage.remove_by_dav(path, is_folder=is_folder, size=size)


TYPE = DavsType()
