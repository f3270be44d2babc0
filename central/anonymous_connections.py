"""Connections that have not shown yet who they are: how many one address may have."""

import ipaddress
from collections import Counter

PART = 4  # one address has a quarter of all connections at most
_HOST_BITS = 64  # whoever has an IPv6 address has all of its /64


class Strangers:
    """Counts strangers by address. Who has shown a good token is none, and is not counted.

    So thousands of pilots behind one address have the room that they need, and a peer without a
    token cannot take it from them.
    """

    def __init__(self, at_once_max: int) -> None:
        self._max = at_once_max
        self._of: Counter[str] = Counter()

    def come(self, address: str, *, beyond: bool = False) -> "Stranger | None":
        """Return a new stranger; None where the address has too many, unless `beyond` is borne."""
        origin = _origin(address)
        is_beyond = self._of[origin] >= self._max
        if is_beyond and not beyond:
            return None
        self._of[origin] += 1
        return Stranger(self._of, origin, is_beyond=is_beyond)


class Stranger:
    """One connection, until it is known or gone."""

    __slots__ = ("_counted", "_of", "_origin", "is_beyond")

    def __init__(self, of: Counter[str], origin: str, *, is_beyond: bool) -> None:
        self._of, self._origin, self._counted = of, origin, True
        self.is_beyond = is_beyond  # more than its address may have

    def end(self) -> None:
        """Count it no more; also a second time."""
        if self._counted:
            self._counted = False
            self._of[self._origin] -= 1
            if not self._of[self._origin]:
                del self._of[self._origin]


def _origin(address: str) -> str:
    if ":" not in address:
        return address
    ip = ipaddress.IPv6Address(address)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return f"{int(ip) >> _HOST_BITS:x}/64"
