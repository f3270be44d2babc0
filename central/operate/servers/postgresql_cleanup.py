"""Ends a private PostgreSQL whose owner is gone, and removes its folder.

It is a separate program without imports of pilotage. It outlives the owner and sees the owner's end
as the end of its input. If it was killed too, the next owner cleans up.
"""

import fcntl
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Final

NAME: Final = "pg-"  # beginning of the folders' names
OWNER: Final = "owner"  # a file that the owner locks while it lives
YOUNG_S: Final = 60.0  # in a younger folder the owner may not have made its lock
END_S: Final = 10.0
LOOK_S: Final = 0.05


def owned(folder: Path) -> int:
    """Lock a folder while this process lives; return the file descriptor."""
    lock = os.open(folder / OWNER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def sweep(parent: Path, wall: float) -> None:
    """Remove the folders of owners that are gone; leave others alone."""
    for folder in parent.glob(NAME + "*"):
        try:
            if wall - folder.stat().st_mtime < YOUNG_S:
                continue
            lock = os.open(folder / OWNER, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:  # not such a folder, of another user, or already removed
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
    """End the server on a folder immediately, and remove the folder."""
    server = _server(folder)
    if server is not None:
        _end(server, folder)
    shutil.rmtree(folder, ignore_errors=True)


def _server(folder: Path) -> int | None:
    """Return the server process of a folder; None if unknown or without /proc."""
    try:
        pid = int((folder / "data" / "postmaster.pid").read_text().split()[0])
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError, IndexError):
        return None
    return pid if bytes(folder / "data") in words else None


def _end(server: int, folder: Path) -> None:
    until = time.monotonic() + END_S
    os.kill(server, signal.SIGQUIT)
    os.kill(server, signal.SIGCONT)  # it may be stopped
    while _server(folder) == server:
        if time.monotonic() > until:
            os.kill(server, signal.SIGKILL)
            return
        time.sleep(LOOK_S)


def main() -> None:
    """Wait for the owner's end, or a line from it."""
    sys.stdin.buffer.read(1)
    clear(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
