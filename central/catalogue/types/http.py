"""`http`: a server that knows GET, HEAD, PUT and DELETE."""

from ..storage_types import has_extra, split


class HttpType:
    """A StorageType whose URLs are folders of a web server."""

    tag = ""
    credential = ""
    swept_by = "pilots"

    def wrong(self, url: str) -> str:
        parts = split(url)
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
            return "expected http://host:port/folder, or https"
        if parts.username or parts.password:
            return "must hold no password: every user of the storage sees this URL"
        if has_extra(parts):
            return "must have neither '?' nor '#'"
        return ""


TYPE = HttpType()
