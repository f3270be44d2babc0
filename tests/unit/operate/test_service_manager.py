"""What systemd hears: a real socket stands in for it."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilotage.central.operate.service_manager import ServiceManager


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address)
        listening.settimeout(5)
        yield listening, address


def test_it_hears_when_requests_are_answered_and_when_the_end_begins(
    manager: tuple[socket.socket, str],
) -> None:
    listening, address = manager
    service = ServiceManager({"NOTIFY_SOCKET": address}, pid=7)
    service.ready("http://x")
    service.stopping()

    assert listening.recv(1_000) == b"READY=1\nSTATUS=answers at http://x"
    assert listening.recv(1_000).startswith(b"STOPPING=1\n")


async def test_the_loop_is_alive_twice_in_each_time_that_is_waited(
    manager: tuple[socket.socket, str],
) -> None:
    listening, address = manager
    environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "40000", "WATCHDOG_PID": "7"}
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.15):
            await ServiceManager(environment, pid=7).watchdog()
    heard = [listening.recv(1_000) for _ in range(3)]

    assert heard == [b"WATCHDOG=1"] * 3


def test_it_hears_that_a_start_on_a_full_disk_takes_longer(
    manager: tuple[socket.socket, str],
) -> None:
    listening, address = manager
    ServiceManager({"NOTIFY_SOCKET": address}, pid=7).waits(10.0)

    assert listening.recv(1_000).startswith(
        b"EXTEND_TIMEOUT_USEC=20000000\nSTATUS=the disk is full"
    )


async def test_nobody_is_told_where_nobody_listens(tmp_path: Path) -> None:
    ServiceManager({}, pid=7).ready("http://x")
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "none")}, pid=7).ready("http://x")
    for environment in (
        {},
        {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "8"},  # another process is meant
        {"WATCHDOG_USEC": "no number"},
    ):
        await ServiceManager(environment, pid=7).watchdog()
