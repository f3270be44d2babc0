"""The addresses of clients whose requests another process forwards to the leader.

The forwarding process sends the address in a header, with a MAC (HMAC-SHA256, RFC 2104). Only the
processes of one central have its key. A header without the right MAC is ignored, and a forwarding
process drops a header that its client sent. `X-Forwarded-For` of a proxy is not read.
"""

import hashlib
import hmac
from typing import Final

from .answers import Headers
from .asgi import AsgiScope
from .body import header

HEADER: Final = b"pilotage-client-address"


class ClientAddresses:
    """Writes and reads the header. Without a key, it does neither."""

    def __init__(self, key: bytes = b"") -> None:
        self._key = key

    def of(self, scope: AsgiScope) -> str:
        """Return the address of the client, or of a proxy in front of it; empty if unknown."""
        address, _, mac = header(scope["headers"], HEADER).rpartition(" ")
        if self._key and mac and hmac.compare_digest(mac.encode(), self._mac(address).encode()):
            return address
        return _peer(scope)

    def headers(self, scope: AsgiScope) -> Headers:
        """Return the header for a request that is forwarded."""
        address = _peer(scope)
        if not self._key or not address:
            return []
        return [(HEADER, f"{address} {self._mac(address)}".encode("latin-1"))]

    def _mac(self, address: str) -> str:
        return hmac.new(self._key, address.encode(), hashlib.sha256).hexdigest()


def _peer(scope: AsgiScope) -> str:
    """Return the address at the other end of the connection."""
    client = scope.get("client")
    return str(client[0]) if client else ""
