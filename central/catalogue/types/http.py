"""`http`: a server that knows GET, HEAD, PUT and DELETE."""

from ..storage_types import wrong_server


class HttpType:
    """A StorageType whose URLs are folders of a web server."""

    tag = ""
    credential = ""

    def wrong(self, url: str) -> str:
        return wrong_server(url, ("http", "https"), "http://host:port/folder, or https")


TYPE = HttpType()
