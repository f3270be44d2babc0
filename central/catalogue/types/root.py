"""`root`: an XRootD server, which pilots reach with xrdcp and xrdfs."""

import urllib.parse

from pilotage.proto.storages import XROOTD_TAG

from ..storage_types import wrong_server


class RootType:
    """A StorageType whose URLs are folders of an XRootD server."""

    tag = XROOTD_TAG
    credential = "token"
    swept_by = ""

    def wrong(self, url: str) -> str:
        right = "roots://host:port//folder, with two slashes"
        wrong = wrong_server(url, ("root", "roots"), right)
        if not wrong and not urllib.parse.urlsplit(url).path.startswith("//"):
            wrong = f"expected {right}"
        return wrong


TYPE = RootType()
