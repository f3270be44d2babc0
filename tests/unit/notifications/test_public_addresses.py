"""The addresses that webhooks of users may reach."""

import ipaddress
import random

import pytest

from pilotage.central.notifications.public_addresses import may_reach, networks_of

PUBLIC = "1.1.1.1 8.8.8.8 193.109.174.1 223.255.255.254 172.32.0.1 100.128.0.1 2001:4860:4860::8888"
PUBLIC += " 2a00:1450::1 2620:fe::fe"
REFUSED = """
    0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 127.0.0.1 127.255.255.254 169.254.169.254
    172.16.0.1 172.31.255.255 192.0.0.8 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.51.100.1
    203.0.113.7 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
    :: ::1 ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::8.8.8.8 ::ffff:0:8.8.8.8 64:ff9b::7f00:1
    64:ff9b::8.8.8.8 64:ff9b:1::1 100::1 2001::1 2001:db8::1 2002:7f00:1:: 2002:808:808::1 3fff::1
    5f00::1 fc00::1 fd12:3456::1 fe80::1 fe80::1%eth0 2a00:1450::1%eth0 fec0::1 ff02::1 ff0e::1
    localhost 127.1 0x7f.0.0.1 2130706433 010.0.0.1 example.org 1.1.1.1/32
"""


@pytest.mark.parametrize("address", PUBLIC.split())
def test_a_public_address_may_be_reached(address: str) -> None:
    assert may_reach(address, (), ())


@pytest.mark.parametrize("address", [*REFUSED.split(), "", " 1.1.1.1", "1.1.1.1 "])
def test_others_may_not(address: str) -> None:
    assert not may_reach(address, (), ())


def test_python_agrees_that_what_may_be_reached_is_global() -> None:
    drawn = random.Random(7)
    for _ in range(20_000):
        four = ipaddress.IPv4Address(drawn.getrandbits(32))
        six = ipaddress.IPv6Address(drawn.getrandbits(128))
        for one in (four, six):
            if may_reach(str(one), (), ()):
                assert one.is_global and not one.is_multicast and not one.is_reserved


def test_the_operator_allows_and_refuses_networks_and_refusals_come_first() -> None:
    own = networks_of(["10.1.0.0/16", "fd00::/8"])
    kept_off = networks_of(["10.1.7.0/24", "193.109.174.0/24"])

    assert may_reach("10.1.2.3", own, kept_off) and may_reach("fd00::5", own, kept_off)
    assert not may_reach("10.2.0.1", own, kept_off)
    assert not may_reach("10.1.7.1", own, kept_off)
    assert not may_reach("193.109.174.1", own, kept_off)
    assert not may_reach("::ffff:10.1.2.3", own, kept_off)
