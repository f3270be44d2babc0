"""`root`: an XRootD server, which pilots reach with xrdcp and xrdfs."""

from pilotage.proto.storages import XROOTD_TAG

from ..storage_types import has_extra, split


class RootType:
    """A StorageType whose URLs are folders of an XRootD server."""

    tag = XROOTD_TAG
    credential = "token"
    swept_by = ""

    def wrong(self, url: str) -> str:
        parts = split(url)
        if parts is None or parts.scheme not in ("root", "roots") or not parts.hostname:
            return "expected roots://host:port//folder"
        if not parts.path.startswith("//"):
            return "expected two slashes before the folder: roots://host:port//folder"
        if parts.username or parts.password:
            return "must hold no password: every user of the storage sees this URL"
        return "must have neither '?' nor '#'" if has_extra(parts) else ""


TYPE = RootType()
