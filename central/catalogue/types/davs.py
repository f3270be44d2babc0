"""`davs`: a WebDAV server over https that takes bearer tokens: XRootD, dCache, StoRM, EOS."""

from ..storage_types import wrong_server


class DavsType:
    """A StorageType whose URLs are folders of a WebDAV server."""

    tag = ""
    credential = "token"
    swept_by = "central"

    def wrong(self, url: str) -> str:
        return wrong_server(url, ("https",), "https://host:port/folder")


TYPE = DavsType()
