"""`root`: an XRootD server, which pilots reach with xrdcp and xrdfs.

The central removes files with xrdfs, or over HTTPS if the storage's file has an `https_url`. The
format of the output of xrdfs is that of XRootD 5 (XrdCl/XrdClFS.cc).
"""

import re
import shutil
import urllib.parse
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from types import MappingProxyType
from typing import Final

from pilotage.proto.storages import XROOTD_TAG

from ..remote.removals import NOT_MOUNTED, RemoteStorage, check_whole
from ..remote.storage_http import StorageAway, StorageRefuses, check_same
from ..storage_types import StorageType, wrong_server
from ..storages import StorageEntry

_AT_ONCE: Final = 100  # files that one command removes
_SIZE: Final = re.compile(r"^Size:\s+(\d+)$", re.MULTILINE)


class RootType(StorageType):
    """A StorageType whose URLs are folders of an XRootD server. The central sweeps it."""

    tag = XROOTD_TAG
    credential = "token"
    second_url = True
    pfn_schemes = MappingProxyType({"root": 1094, "roots": 1094, "xroot": 1094, "xroots": 1094})
    quotes_pfns = False

    def wrong(self, url: str) -> str:
        right = "root://host:port//folder or roots://…, with two slashes"
        wrong = wrong_server(url, ("root", "roots"), right)
        if not wrong and not urllib.parse.urlsplit(url).path.startswith("//"):
            wrong = f"expected {right}"
        return wrong

    def unswept(self, entry: StorageEntry) -> str:
        if entry.https_url or shutil.which("xrdfs"):
            return ""
        return "the host of the central has no xrdfs on its PATH: install it, or set https_url"

    async def remove(
        self, storage: RemoteStorage, path: str, *, is_folder: bool, size: int | None
    ) -> None:
        entry = storage.entry
        check_whole(path)
        if entry.https_url:
            await storage.remove_by_dav(path, is_folder=is_folder, size=size, url=entry.https_url)
            return
        url = urllib.parse.urlsplit(entry.url)
        xrdfs = partial(
            storage.remote.xrdfs.run,
            f"{url.scheme}://{url.netloc}",
            token=await storage.token(("modify", path), ("read", path)),
            ca_file=entry.ca_file,
        )
        base = f"/{urllib.parse.unquote(url.path).strip('/')}"
        if await _removed(xrdfs, f"{base}/{path}".replace("//", "/"), is_folder, size):
            return
        if not await xrdfs(["ls", base], token=await storage.token(("read", ""))):
            raise StorageAway(NOT_MOUNTED)


TYPE = RootType()


async def _removed(
    xrdfs: Callable[[Sequence[str]], Awaitable[str | None]],
    at: str,
    is_folder: bool,
    size: int | None,
) -> bool:
    """Remove a file of this size in bytes, or a folder. Return whether it was there.

    Raises StorageAway, StorageRefuses.
    """
    if not is_folder:
        if size is not None:
            found = _SIZE.search(await xrdfs(["stat", at]) or "")
            check_same(int(found[1]) if found else None, size)
        return await xrdfs(["rm", at]) is not None
    text = await xrdfs(["ls", "-l", "-R", at])
    folders, files = _listed(text or "", at)
    for start in range(0, len(files), _AT_ONCE):
        await xrdfs(["rm", *files[start : start + _AT_ONCE]])
    for folder in (*sorted(folders, key=len, reverse=True), at):
        await xrdfs(["rmdir", folder])
    return text is not None  # rmdir succeeds for a missing folder too


def _listed(text: str, folder: str) -> tuple[list[str], list[str]]:
    """Return the folders and the files in a recursive list. Raises StorageRefuses."""
    folders: list[str] = []
    files: list[str] = []
    for line in filter(None, text.splitlines()):
        path = f"/{line.partition(' /')[2]}"
        if not path.startswith(f"{folder}/") or {".", ".."} & set(path.split("/")):
            raise StorageRefuses(f"it lists {line[:200]!r}, which is not in the folder")
        (folders if line.startswith("d") else files).append(path)
    return folders, files
