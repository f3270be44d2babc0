"""The standard error of tools on this machine: shown at once, and its end kept for messages."""

import contextlib
import os
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from typing import IO, Final

LINES_MAX: Final = 20
BYTES_MAX: Final = 4_096
WAIT_S: Final = 5.0  # for a process that a tool has left behind, and that keeps the pipe open


class Tail:
    """The last bytes that a tool has written."""

    def __init__(self) -> None:
        self._kept = b""

    def add(self, block: bytes) -> None:
        self._kept = (self._kept + block)[-BYTES_MAX:]

    def text(self) -> str:
        lines = self._kept.decode(errors="replace").splitlines()
        return "\n".join(f"  {one}" for one in lines[-LINES_MAX:])


@contextlib.contextmanager
def passed_on(tail: Tail) -> Generator[IO[bytes]]:
    """Yield a stream for a tool: what it gets is written to our standard error, and noted."""
    ours, its = os.pipe()

    def copy() -> None:
        with os.fdopen(ours, "rb", buffering=0) as stream:
            while block := stream.read(65_536):
                tail.add(block)
                sys.stderr.write(block.decode(errors="replace"))
                sys.stderr.flush()

    thread = threading.Thread(target=copy, daemon=True)
    thread.start()
    with os.fdopen(its, "wb") as stream:
        yield stream
    thread.join(WAIT_S)


def of_file(path: Path) -> Tail:
    """Return the end of a file, as far as there is one."""
    tail = Tail()
    with contextlib.suppress(OSError), path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - BYTES_MAX))
        tail.add(stream.read(BYTES_MAX))
    return tail
