"""`file`: a folder that pilots, and perhaps users, can see."""

import urllib.parse
from types import MappingProxyType

from ..storage_types import StorageType, has_extra, split


class FolderType(StorageType):
    """A StorageType whose URLs are absolute folders."""

    pfn_schemes = MappingProxyType({"file": 0, "posix": 0})
    quotes_pfns = False

    def wrong(self, url: str) -> str:
        parts = split(url)
        good = parts is not None and parts.scheme == "file" and parts.netloc == ""
        if not good or parts is None or not parts.path.startswith("/") or has_extra(parts):
            return "expected file:///an/absolute/folder"
        if ".." in urllib.parse.unquote(parts.path).split("/"):
            return "expected a folder without '..'"
        return ""


TYPE = FolderType()
