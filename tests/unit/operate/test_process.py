"""What a central asks of the system before it serves."""

import resource
from collections.abc import Iterator

import pytest

from pilotage.central.operate.process import FILES_BESIDE, allow_files


@pytest.fixture
def hard() -> Iterator[int]:
    """Have a low soft limit of open files, and the hard one of the system."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _soft() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_the_limit_of_open_files_rises_to_what_the_connections_need(hard: int) -> None:
    allow_files(100)

    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (100 + FILES_BESIDE, hard)


def test_a_limit_of_open_files_that_is_high_enough_stays(hard: int) -> None:
    allow_files(100)
    allow_files(50)

    assert _soft() == 100 + FILES_BESIDE


def test_the_limit_of_open_files_stays_below_the_hard_one(hard: int) -> None:
    if hard == resource.RLIM_INFINITY:
        pytest.skip("there is no hard limit")
    allow_files(hard)

    assert _soft() == hard
