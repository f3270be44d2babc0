"""Decides whether the central may send a webhook to an address. Pure.

A user gives the URL, and the central connects from inside the operator's network. So only addresses
of the public internet are allowed, and those that the operator names. The lists are those of IANA's
registries of special-purpose addresses; they do not depend on the version of Python.
"""

import ipaddress
from collections.abc import Iterable
from typing import Final, TypeAlias

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_NOT_PUBLIC: Final = tuple(
    ipaddress.ip_network(one)
    for one in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # behind the NAT of a provider
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local: metadata services of clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast, reserved and broadcast
        "2001::/23",  # Teredo and other protocols
        "2001:db8::/32",
        "2002::/16",  # 6to4: has an IPv4 address in it
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)
# Everything else in IPv6 is refused: loopback, link-local, unique local, multicast, and addresses
# with an IPv4 address in them (::ffff:0:0/96, ::/96, NAT64).
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")


def networks_of(texts: Iterable[str]) -> tuple[Network, ...]:
    """Return networks from their texts. Raises ValueError."""
    return tuple(ipaddress.ip_network(one) for one in texts)


def may_reach(address: str, allowed: Iterable[Network], refused: Iterable[Network]) -> bool:
    """Return whether the central may connect to a numeric address.

    `refused` networks of the operator come first, then the `allowed` ones.
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.scope_id is not None:
        return False
    if _is_in(found, refused):
        return False
    return _is_in(found, allowed) or _is_public(found)


def _is_public(found: Address) -> bool:
    if found.version == 6 and found not in _GLOBAL_UNICAST:
        return False
    return not _is_in(found, _NOT_PUBLIC)


def _is_in(found: Address, networks: Iterable[Network]) -> bool:
    return any(found.version == one.version and found in one for one in networks)
