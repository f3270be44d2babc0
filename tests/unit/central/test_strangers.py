"""Connections that have not shown who they are, counted by address."""

import pytest

from pilotage.central.anonymous_connections import AnonymousConnections


def test_one_address_has_so_many_strangers_and_another_its_own() -> None:
    strangers = AnonymousConnections(2)
    first, second = strangers.come("192.0.2.1"), strangers.come("192.0.2.1")

    assert first is not None and second is not None
    assert strangers.come("192.0.2.1") is None
    assert strangers.come("192.0.2.2") is not None


def test_who_is_known_or_gone_makes_room_once() -> None:
    strangers = AnonymousConnections(2)
    first, _ = strangers.come("192.0.2.1"), strangers.come("192.0.2.1")
    assert first is not None
    first.end()
    first.end()

    assert strangers.come("192.0.2.1") is not None
    assert strangers.come("192.0.2.1") is None


#   one address         and another            are they one
SAME = [
    ("2001:db8::1", "2001:db8::ffff:2", True),
    ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
    ("::ffff:192.0.2.1", "192.0.2.1", True),
    ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
    ("fe80::1%2", "fe80::2%2", True),
]


@pytest.mark.parametrize(("one", "other", "is_one"), SAME)
def test_an_ipv6_network_of_64_bits_is_one_address(one: str, other: str, is_one: bool) -> None:
    strangers = AnonymousConnections(1)
    strangers.come(one)

    assert (strangers.come(other) is None) == is_one
