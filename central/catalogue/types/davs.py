"""`davs`: a WebDAV server over https that takes bearer tokens: XRootD, dCache, StoRM, EOS."""

from ..storage_types import has_extra, split


class DavsType:
    """A StorageType whose URLs are folders of a WebDAV server."""

    tag = ""
    credential = "token"
    swept_by = "central"

    def wrong(self, url: str) -> str:
        parts = split(url)
        if parts is None or parts.scheme != "https" or not parts.hostname:
            return "expected https://host:port/folder"
        if parts.username or parts.password:
            return "must hold no password: every user of the storage sees this URL"
        return "must have neither '?' nor '#'" if has_extra(parts) else ""


TYPE = DavsType()
