"""Anonymous connections: how many connections without a token one address may have."""

import ipaddress
from collections import Counter

PART = 4  # one address may have a quarter of all connections
_HOST_BITS = 64  # an IPv6 host usually owns its whole /64


class AnonymousConnections:
    """Counts anonymous connections by address.

    A connection that has shown a valid token is no longer counted. Thousands of pilots behind one
    address therefore have room, and a peer without a token cannot take it from them.
    """

    def __init__(self, at_once_max: int) -> None:
        self._max = at_once_max
        self._counts: Counter[str] = Counter()

    def come(self, address: str, *, beyond: bool = False) -> "AnonymousConnection | None":
        """Return a new stranger, or None if its address has too many and `beyond` is false."""
        origin = network_of(address)
        is_beyond = self._counts[origin] >= self._max
        if is_beyond and not beyond:
            return None
        self._counts[origin] += 1
        return AnonymousConnection(self._counts, origin, is_beyond=is_beyond)


class AnonymousConnection:
    """One connection, until it shows a valid token or ends."""

    __slots__ = ("_counted", "_counts", "_origin", "is_beyond")

    def __init__(self, of: Counter[str], origin: str, *, is_beyond: bool) -> None:
        self._counts, self._origin, self._counted = of, origin, True
        self.is_beyond = is_beyond  # more than its address may have

    def end(self) -> None:
        """Stop counting this connection. Idempotent."""
        if self._counted:
            self._counted = False
            self._counts[self._origin] -= 1
            if not self._counts[self._origin]:
                del self._counts[self._origin]


def network_of(address: str) -> str:
    """Return the part of an address that its owner cannot choose: of IPv6, the first 64 bits."""
    if ":" not in address:
        return address
    ip = ipaddress.IPv6Address(address)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return f"{int(ip) >> _HOST_BITS:x}/64"
