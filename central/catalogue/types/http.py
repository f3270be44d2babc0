"""`http`: a server that knows GET, HEAD, PUT and DELETE."""

from types import MappingProxyType

from ..storage_types import StorageType, wrong_server


class HttpType(StorageType):
    """A StorageType whose URLs are folders of a web server."""

    pfn_schemes = MappingProxyType({"http": 80, "https": 443})

    def wrong(self, url: str) -> str:
        return wrong_server(url, ("http", "https"), "http://host:port/folder, or https")


TYPE = HttpType()
