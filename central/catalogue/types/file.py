"""`file`: a folder that pilots, and perhaps users, can see."""

import urllib.parse

from ..storage_types import has_extra, split


class FolderType:
    """A StorageType whose URLs are absolute folders."""

    tag = ""
    credential = ""

    def wrong(self, url: str) -> str:
        parts = split(url)
        good = parts is not None and parts.scheme == "file" and parts.netloc == ""
        if not good or parts is None or not parts.path.startswith("/") or has_extra(parts):
            return "expected file:///an/absolute/folder"
        if ".." in urllib.parse.unquote(parts.path).split("/"):
            return "expected a folder without '..'"
        return ""


TYPE = FolderType()
