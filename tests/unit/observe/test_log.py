"""The log on a disk that is full: whoever logs goes on."""

import io
import json

from pilotage.central.observe.events import JsonLog

BUFFER = 200


class _Disk(io.RawIOBase):
    """A file on a disk that may be full."""

    full = False
    content = b""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        taken = bytes(data)  # type: ignore[call-overload]
        self.content += taken
        return len(taken)


def test_lines_that_find_no_room_are_counted_in_the_log() -> None:
    disk = _Disk()
    log = JsonLog(io.BufferedWriter(disk, BUFFER))
    log("bus_up", url="before")
    disk.full = True
    for n in range(10):
        log("bus_up", url=f"mqtt://{n}")
    disk.full = False
    log("store_full", why="no room")
    lines = [json.loads(line) for line in disk.content.splitlines()]
    left_out = sum(one["lines"] for one in lines if one["event"] == "log_gap")

    assert left_out > 0
    assert sum(one["event"] == "bus_up" for one in lines) == 1 + 10 - left_out
    assert lines[-1]["event"] == "store_full"


def test_what_utf_8_does_not_have_is_logged_all_the_same() -> None:
    disk = _Disk()
    log = JsonLog(io.BufferedWriter(disk, BUFFER))
    log("bus_up", url="a file called \udcff")

    assert json.loads(disk.content)["url"] == "a file called ?"
