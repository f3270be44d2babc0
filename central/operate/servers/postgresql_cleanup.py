"""Ends a private PostgreSQL whose owner is gone, however that has ended, and removes its folder.

A program of its own, without imports of ours: it outlives the owner, whose end it learns of by the
end of its input. What it could not do, as it was killed as well, the next owner does.
"""

import fcntl
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Final

NAME: Final = "pg-"  # how the names of the folders begin
OWNER: Final = "owner"  # a file that the owner has locked for as long as it lives
YOUNG_S: Final = 60.0  # a folder whose owner may not have come to lock it
END_S: Final = 10.0
LOOK_S: Final = 0.05


def owned(folder: Path) -> int:
    """Say that a folder is ours for as long as we live; return what holds it."""
    lock = os.open(folder / OWNER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def sweep(parent: Path, wall: float) -> None:
    """Clear away what is left of owners that are gone. Of others nothing is touched."""
    for folder in parent.glob(NAME + "*"):
        try:
            if wall - folder.stat().st_mtime < YOUNG_S:
                continue
            lock = os.open(folder / OWNER, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:  # it is none of these, it is another user's, or somebody was faster
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        else:
            clear(folder)
        finally:
            os.close(lock)


def clear(folder: Path) -> None:
    """End the server that runs on a folder, as after a crash, and remove the folder."""
    server = _server(folder)
    if server is not None:
        _end(server, folder)
    shutil.rmtree(folder, ignore_errors=True)


def _server(folder: Path) -> int | None:
    """Return the process that runs on a folder. Where there is no /proc it is not known."""
    try:
        pid = int((folder / "data" / "postmaster.pid").read_text().split()[0])
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError, IndexError):
        return None
    return pid if bytes(folder / "data") in words else None


def _end(server: int, folder: Path) -> None:
    until = time.monotonic() + END_S
    os.kill(server, signal.SIGQUIT)
    os.kill(server, signal.SIGCONT)  # it may stand still
    while _server(folder) == server:
        if time.monotonic() > until:
            os.kill(server, signal.SIGKILL)
            return
        time.sleep(LOOK_S)


def main() -> None:
    """Wait for the end of the owner, or its word."""
    sys.stdin.buffer.read(1)
    clear(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
