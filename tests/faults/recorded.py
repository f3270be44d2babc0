"""What a process does to its files, recorded by strace to the byte, and replayed on a `Disk`."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .disk import Disk

ROOT: Final = Path(__file__).resolve().parents[2]
CALLS: Final = (
    "pwrite64,write,fdatasync,fsync,ftruncate,rename,renameat,renameat2,unlink,unlinkat,"
    "openat,mkdir,mkdirat,lseek,close"
)
_LINE: Final = re.compile(r"^(\d+) +(.*)$")
_WHOLE: Final = re.compile(r"^(\w+)\((.*)\) += (-?\d+)(.*)$")
_BEGUN: Final = re.compile(r"^(\w+)\((.*) <unfinished \.\.\.>$")
_RESUMED: Final = re.compile(r"^<\.\.\. (\w+) resumed>(.*)\) += (-?\d+)(.*)$")
_FD: Final = re.compile(r"^(\d+)<([^>]*)>(\(deleted\))?")
_TEXT: Final = re.compile(r'"([^"]*)"')  # strace writes all of it in hex
_FOLDER_FD: Final = re.compile(r"(?:AT_FDCWD|\d+)<([^>]*)>, *$")
_SYNCS: Final = frozenset({"fsync", "fdatasync"})
_WRITES: Final = frozenset({"pwrite64", "write"})


@dataclass(frozen=True)
class Call:
    """One system call that did its work, or the beginning of one that still does."""

    thread: str
    name: str
    words: str
    result: int = 0
    begins: bool = True
    ends: bool = True


def record(module: str, words: Sequence[str], trace: Path, root: Path) -> list[Call]:
    """Run `python -m module words` under strace; return its calls on files below `root`, in order.

    What it writes to standard output is kept as well.
    """
    done = subprocess.run(
        [
            *("strace", "-f", "--seccomp-bpf", "-y", "-xx", "-s", "16777216", "-o", str(trace)),
            *("-e", f"trace={CALLS}", "-e", "signal=none"),
            *(sys.executable, "-m", module, *words),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=300,
    )
    assert done.returncode in (0, -9, 137), done.stderr.decode()
    with trace.open() as lines:
        in_hex = "".join(f"\\x{byte:02x}" for byte in os.fsencode(root))
        calls = [call for call in _calls(lines) if _counts(call, in_hex)]
    trace.unlink()
    return calls


def _calls(lines: Iterator[str]) -> Iterator[Call]:
    begun: dict[str, str] = {}
    for line in lines:
        found = _LINE.match(line.rstrip("\n"))
        assert found is not None, line[:200]
        thread, rest = found.groups()
        if whole := _WHOLE.match(rest):
            yield Call(thread, whole[1], whole[2], int(whole[3]))
        elif first := _BEGUN.match(rest):
            begun[thread] = first[2]
            yield Call(thread, first[1], first[2], ends=False)
        elif last := _RESUMED.match(rest):
            words = begun.pop(thread, "") + last[2]
            yield Call(thread, last[1], words, int(last[3]), begins=False)


def _counts(call: Call, root: str) -> bool:
    return root in call.words or call.words.startswith("1<")


class Replay:
    """A disk on which recorded calls happen one by one; `said` is what the process told others."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.said: list[str] = []
        self._half = b""
        self._positions: dict[int, int] = {}  # of descriptors, where the next write goes
        self._marks: dict[str, int] = {}  # of syncs that are under way, by thread

    def process_ends(self) -> None:
        """What a process had open is closed. The disk knows nothing of that."""
        self._positions.clear()
        self._marks.clear()
        self._half = b""

    def step(self, call: Call) -> None:
        if call.name in _SYNCS:
            self._sync(call)
        elif call.name in _WRITES:
            if call.begins and call.result >= 0:
                self._write(call)
        elif call.ends and call.result >= 0:
            self._rest(call)

    def _sync(self, call: Call) -> None:
        path = _described(call.words)[1]
        if call.begins and self._is_ours(path):
            self._marks[call.thread] = self.disk.mark(path)
        if call.ends and call.result == 0 and call.thread in self._marks:
            self.disk.settle(path, self._marks.pop(call.thread))

    def _write(self, call: Call) -> None:
        fd, path = _described(call.words)
        data = _texts(call.words)[0]
        if fd == 1:
            *lines, self._half = (self._half + data).split(b"\n")
            self.said += [line.decode() for line in lines]
        elif self._is_ours(path):
            if call.name == "pwrite64":
                offset = int(call.words.rsplit(", ", 1)[1])
            else:
                offset = self._positions.get(fd, 0)
                if offset < 0:
                    offset = self.disk.size(path)
                else:
                    self._positions[fd] = offset + len(data)
            self.disk.write(path, offset, data)

    def _rest(self, call: Call) -> None:
        match call.name:
            case "openat":
                (path,) = _paths(call.words)
                self._positions[call.result] = -1 if "O_APPEND" in call.words else 0
                if self._is_ours(path):
                    self.disk.open(
                        path, create="O_CREAT" in call.words, truncate="O_TRUNC" in call.words
                    )
            case "lseek":
                fd, path = _described(call.words)
                if self._is_ours(path):
                    self._positions[fd] = call.result
            case "ftruncate":
                path = _described(call.words)[1]
                if self._is_ours(path):
                    self.disk.resize(path, int(call.words.rsplit(", ", 1)[1]))
            case "rename" | "renameat" | "renameat2":
                old, new = _paths(call.words)
                if self._is_ours(old):
                    self.disk.rename(old, new)
            case "unlink" | "unlinkat":
                (path,) = _paths(call.words)
                if self._is_ours(path):
                    self.disk.remove(path)
            case "mkdir" | "mkdirat":
                (path,) = _paths(call.words)
                if self.disk.holds(path):
                    self.disk.make_folder(path)
            case _:
                pass

    def _is_ours(self, path: str) -> bool:
        # The index of SQLite's log is memory that processes share; a restart makes it anew.
        return self.disk.holds(path) and not path.endswith("-shm")


def _described(words: str) -> tuple[int, str]:
    """Return the descriptor that a call begins with, and its path; a file without name has none."""
    found = _FD.match(words)
    if found is None:
        return -1, ""
    return int(found[1]), "" if found[3] else _decoded(found[2]).decode()


def _texts(words: str) -> list[bytes]:
    return [_decoded(text) for text in _TEXT.findall(words)]


def _paths(words: str) -> list[str]:
    """Return the paths of a call, whole ones even where it names a folder's descriptor."""
    paths: list[str] = []
    for found in _TEXT.finditer(words):
        path = _decoded(found[1]).decode()
        folder = _FOLDER_FD.search(words[: found.start()])
        if not path.startswith("/") and folder is not None:
            path = f"{_decoded(folder[1]).decode()}/{path}"
        paths.append(path)
    return paths


def _decoded(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", "")) if "\\x" in text else text.encode()
