"""Pending logins: bounded for each flow and address, and dropped when they end."""

import time

import pytest

from pilotage.central.errors import Refused
from pilotage.central.identity.logins.pending import (
    LOGIN_S,
    OF_ONE_ADDRESS_MAX,
    PENDING_MAX,
    NoSuchLogin,
    PendingLogin,
    PendingLogins,
)
from pilotage.central.identity.sessions.rows import SessionKind
from pilotage.proto.problems import Code
from tests.fake_central import FakeClock, FakeRandomness


class World:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.pending = PendingLogins(self.clock, FakeRandomness(), lambda _: None)

    def add(self, address: str = "192.0.2.7", *, is_device: bool = False) -> PendingLogin:
        return self.pending.add("iam", SessionKind.COMMAND, address=address, is_device=is_device)

    def fill(self, *, is_device: bool) -> None:
        for number in range(PENDING_MAX):
            self.add(f"192.0.2.{number % 256}", is_device=is_device)

    def is_refused(self, address: str, *, is_device: bool = False) -> bool:
        try:
            self.add(address, is_device=is_device)
        except Refused as why:
            assert why.code is Code.TOO_MANY
            return True
        return False


@pytest.mark.parametrize("is_device", [True, False])
def test_one_flow_cannot_block_the_other(is_device: bool) -> None:
    world = World()
    world.fill(is_device=is_device)

    assert world.is_refused("198.51.100.1", is_device=is_device)
    assert not world.is_refused("198.51.100.1", is_device=not is_device)


def test_one_address_cannot_block_the_others() -> None:
    world = World()
    logins = [world.add() for _ in range(OF_ONE_ADDRESS_MAX)]

    assert world.is_refused("192.0.2.7") and not world.is_refused("192.0.2.8")
    world.pending.drop(logins[0])
    world.pending.drop(logins[0])
    assert [world.is_refused("192.0.2.7") for _ in range(2)] == [False, True]


def test_ended_logins_make_room() -> None:
    world = World()
    world.fill(is_device=True)
    world.clock.move(LOGIN_S)

    assert not world.is_refused("192.0.2.7", is_device=True)


def test_a_full_table_costs_a_start_little() -> None:
    world = World()
    began = time.process_time()
    world.fill(is_device=False)

    assert time.process_time() - began < 2.0, "looking through all at each start takes minutes"


def test_a_login_that_has_ended_gets_no_new_handle() -> None:
    world = World()
    login = world.add()
    world.clock.move(LOGIN_S)
    world.add()
    with pytest.raises(NoSuchLogin):
        world.pending.rename(login)
