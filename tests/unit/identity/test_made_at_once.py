"""Two processes start at once on a new data directory: both go on with the same keys."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pilotage.central.identity import derived_secrets, keys, signature
from pilotage.central.ports import Disk
from tests.fake_central import FakeClock, FakeDisk, FakeRandomness

DATA = Path("/data")
Load = Callable[[Disk, int], object]


class Behind(FakeDisk):
    """What another process sees that looks before the first one has written."""

    def __init__(self, first: FakeDisk) -> None:
        super().__init__()
        self.files = first.files

    def read(self, path: Path) -> bytes | None:
        return None


def signs(disk: Disk, seed: int) -> object:
    return signature.load(DATA, disk=disk).key


def issues(disk: Disk, seed: int) -> object:
    clock, randomness = FakeClock(), FakeRandomness(seed)
    return keys.load(DATA, disk=disk, clock=clock, randomness=randomness).stored.jwks()


def derives(disk: Disk, seed: int) -> object:
    derived = derived_secrets.load(DATA, disk=disk, randomness=FakeRandomness(seed))
    return derived.broker_password("local", "p1")


@pytest.mark.parametrize("load", [signs, issues, derives])
def test_keys_that_two_processes_make_at_once_are_the_same(load: Load) -> None:
    disk = FakeDisk()
    first = load(disk, 1)

    assert load(Behind(disk), 2) == first == load(disk, 3)
