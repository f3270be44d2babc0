"""A payload that looks for what is its pilot's: everywhere, by every way that it knows.

    python3 spy.py WORD … -- PLACE …

Words that begin like those are looked for, and the places are read too. It prints one JSON object:
what it has found, and by which way. It runs on any Python, with the standard library alone.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import subprocess
import sys

READ_MAX = 64 << 20
PTRACE_ATTACH, PTRACE_DETACH = 16, 17


class Spy:
    def __init__(self, words: list[str]) -> None:
        # Not as they are: or the spy would find itself.
        self.words = [word[::-1].encode() for word in words]
        self.found: dict[str, list[str]] = {}

    def note(self, way: str, where: str) -> None:
        self.found.setdefault(way, []).append(where)

    def look(self, way: str, where: str, data: bytes) -> None:
        if any(word in data for word in self.words):
            self.note(way, where)

    def read(self, way: str, path: str) -> None:
        try:
            with open(path, "rb") as file:
                self.look(way, path, file.read(READ_MAX))
        except OSError:
            pass


def pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def own(pid: int) -> bool:
    """Whether it is this process, or what was wrapped around it and says so in its arguments."""
    return pid == os.getpid() or "spy.py" in comm(pid)


def memory(spy: Spy, pid: int) -> None:
    try:
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
            spy.note("opens memory", comm(pid))
            for line in maps:
                place = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
                if not place:
                    continue
                start, end = (int(word, 16) for word in place.groups())
                try:
                    mem.seek(start)
                    spy.look("memory", comm(pid), mem.read(min(end - start, READ_MAX)))
                except (OSError, OverflowError, ValueError):
                    pass
    except OSError:
        pass


def comm(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read(300).replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return str(pid)


def trace(spy: Spy, pid: int) -> None:
    libc = ctypes.CDLL(None)
    if libc.ptrace(PTRACE_ATTACH, pid, None, None) == 0:
        spy.note("traces", comm(pid))
        os.waitpid(pid, 0x40000000)  # __WALL
        libc.ptrace(PTRACE_DETACH, pid, None, None)


def handles(spy: Spy, pid: int) -> None:
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return
    for name in names:
        path = f"/proc/{pid}/fd/{name}"
        try:
            target = os.readlink(path)
        except OSError:
            continue
        if target.startswith("/") and not target.startswith("/dev"):
            spy.read("handle of another", path)


def tree(spy: Spy, way: str, place: str) -> None:
    if os.path.isfile(place):
        spy.read(way, place)
    for folder, _, names in os.walk(place):
        for name in names:
            spy.read(way, os.path.join(folder, name))


def inherited(spy: Spy) -> None:
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink("/proc/self/fd/" + name)
        except OSError:
            continue
        if int(name) > 2 and not target.startswith("/proc"):
            spy.note("inherited", target)


def sockets(spy: Spy) -> None:
    """Abstract sockets are reached whatever the files show."""
    with open("/proc/net/unix") as table:
        names = [line.split()[-1] for line in table if "@" in line.split()[-1]]
    for name in names:
        if "pilot" in name or "guard" in name:
            spy.note("abstract socket", name)


def unhide(spy: Spy, places: list[str]) -> None:
    """Take away what hides folders, also as the root of a namespace of its own."""
    for place in places:
        for command in (["umount", place], ["unshare", "-Urm", "umount", place]):
            subprocess.run(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
            )
        tree(spy, "file that was hidden", place)
        script = f"umount {place}; grep -r . {place}"
        done = subprocess.run(
            ["unshare", "-Urm", "sh", "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        spy.look("file of a namespace", place, done.stdout)


def main(words: list[str], places: list[str]) -> None:
    spy = Spy(words)
    inherited(spy)
    for pid in pids():
        if own(pid):
            continue
        spy.read("environment", f"/proc/{pid}/environ")
        spy.read("command line", f"/proc/{pid}/cmdline")
        handles(spy, pid)
        memory(spy, pid)
        for link in ("cwd", "root"):
            for place in places:
                tree(spy, link + " of another", f"/proc/{pid}/{link}{place}")
        try:
            os.kill(pid, 0)
        except OSError:
            continue
        if "pilot" in comm(pid):  # others of this user live on this machine
            spy.note("signals", comm(pid))
    for place in places:
        tree(spy, "file", place)
    unhide(spy, places)
    sockets(spy)
    for pid in pids():
        if not own(pid):
            trace(spy, pid)
    print(json.dumps(spy.found))


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    cut = sys.argv.index("--")
    main(sys.argv[1:cut], sys.argv[cut + 1 :])
