"""The port that a server keeps from one start to the next."""

import errno
from dataclasses import dataclass
from pathlib import Path

import pytest

from pilotage.central.operate.last_port import on_last_port


@dataclass
class Server:
    port: int


class Ports:
    """Opens servers; asked for port 0, it gives the next free one."""

    def __init__(self, *free: int) -> None:
        self._free = list(free)
        self.taken: set[int] = set()

    def open(self, port: int) -> Server:
        if port in self.taken:
            raise OSError(errno.EADDRINUSE, "in use")
        return Server(port or self._free.pop(0))


def test_a_server_comes_back_on_its_port(tmp_path: Path) -> None:
    ports = Ports(4001, 4002)

    first, second = (on_last_port(tmp_path / "http.port", ports.open) for _ in range(2))

    assert (first.port, second.port) == (4001, 4001)


def test_a_taken_port_is_exchanged(tmp_path: Path) -> None:
    ports = Ports(4001, 4002, 4003)
    on_last_port(tmp_path / "http.port", ports.open)
    ports.taken.add(4001)

    second = on_last_port(tmp_path / "http.port", ports.open)
    third = on_last_port(tmp_path / "http.port", ports.open)

    assert (second.port, third.port) == (4002, 4002)


@pytest.mark.parametrize("content", ["", "eight", "99999999", "-1"])
def test_a_damaged_file_costs_only_the_port(tmp_path: Path, content: str) -> None:
    (tmp_path / "http.port").write_text(content)

    def opened(port: int) -> Server:
        if not 0 <= port < 65_536:
            raise OverflowError("port must be 0-65535")
        return Server(port or 4001)

    assert on_last_port(tmp_path / "http.port", opened).port == 4001
