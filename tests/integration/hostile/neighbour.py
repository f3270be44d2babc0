"""Two payloads of one user on a node: a victim that leaves traces, a thief that looks for them.

    python3 neighbour.py victim WORD
    python3 neighbour.py thief FILE PLACE ...

The thief waits for the file `go`, then looks for the words that stand in FILE backwards, so that it
does not find itself. It prints one JSON object: what it has found, by its ways. It runs on any
Python, with the standard library alone.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import stat
import sys
import time

WAIT_S = 30.0
SHARED = ("/tmp", "/var/tmp", "/dev/shm")
KEY = 0x5150  # of the victim's segment of System V shared memory
IPC_CREAT, SIZE = 0o1000, 4096


def _segment(flags: int) -> int:
    return int(ctypes.CDLL(None).shmget(KEY, SIZE, flags))


def _address(segment: int) -> int:
    libc = ctypes.CDLL(None)
    libc.shmat.restype = ctypes.c_void_p
    return libc.shmat(segment, None, 0) or 0


def victim(word: str) -> None:
    """Leave a trace wherever a payload can leave one, and stay."""
    for folder in (".", os.environ["TMPDIR"], *SHARED):
        with open(os.path.join(folder, "trace-" + word), "w") as file:
            file.write(word)
        listener = socket.socket(socket.AF_UNIX)
        os.chdir(folder)
        listener.bind("socket" + folder.replace("/", "-")[-8:] + word[-4:])  # /var/tmp may be /tmp
        listener.listen()
        globals().setdefault("kept", []).append(listener)
        os.chdir(os.environ["HOME"])
    address = _address(_segment(IPC_CREAT | 0o600))
    ctypes.memmove(address, word.encode(), len(word))
    with open("ready", "w"):
        pass
    time.sleep(WAIT_S)


class Thief:
    """Looks for words, and spoils what has one."""

    def __init__(self, words: list[str]) -> None:
        self.words, self.found = words, dict[str, list[str]]()

    def note(self, way: str, where: str) -> None:
        self.found.setdefault(way, []).append(where)

    def walk(self, place: str) -> None:
        for folder, _, names in os.walk(place):
            for name in names:
                path = os.path.join(folder, name)
                if any(word in name for word in self.words):
                    self.note("name", path)
                self.look(path)

    def look(self, path: str) -> None:
        try:
            mode = os.lstat(path).st_mode
            if stat.S_ISSOCK(mode):
                self.connect(path)
            elif stat.S_ISREG(mode):
                self.read("file", path)
        except OSError:
            pass

    def connect(self, path: str) -> None:
        os.chdir(os.path.dirname(path))
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(os.path.basename(path))
        self.note("socket", path)

    def read(self, way: str, path: str) -> None:
        try:
            with open(path, "rb") as file:
                data = file.read(1 << 20)
        except OSError:
            return
        if any(word.encode() in data for word in self.words):
            self.note(way, path)
            if way == "file":
                with open(path, "a") as file:
                    file.write("forged")

    def memory(self) -> None:
        segment = _segment(0)
        if segment >= 0:
            self.note("shared memory", ctypes.string_at(_address(segment), 64).decode("latin-1"))


def thief(file: str, places: list[str]) -> None:
    """Look everywhere once the victim is there."""
    here, end = os.getcwd(), time.monotonic() + WAIT_S
    print("looking", file=sys.stderr, flush=True)
    while not os.path.exists("go") and time.monotonic() < end:
        time.sleep(0.01)
    with open(file) as told:
        one = Thief(told.read()[::-1].split())
    for place in (*places, *SHARED, "/dev/mqueue", f"/run/user/{os.getuid()}"):
        one.walk(place)
    for name in os.listdir("/proc"):
        if name.isdigit():
            one.read("command line", f"/proc/{name}/cmdline")
            one.read("environment", f"/proc/{name}/environ")
            for link in ("root", "cwd"):
                for place in places:
                    one.walk(f"/proc/{name}/{link}{place}")
    one.memory()
    os.chdir(here)
    print(json.dumps(one.found))


if __name__ == "__main__":
    if sys.argv[1] == "victim":
        victim(sys.argv[2])
    else:
        thief(sys.argv[2], sys.argv[3:])
