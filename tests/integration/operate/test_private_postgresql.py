"""A private PostgreSQL ends with whoever started it, and nothing of it is left."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pilotage.central.operate.servers import postgresql
from pilotage.central.operate.servers.postgresql_cleanup import OWNER, YOUNG_S, owned, sweep
from tests.services.folders import quick

GONE_S = 20.0
STARTS = f"""
import tempfile, time
from pilotage.central.operate.servers.postgresql import Postgresql
tempfile.tempdir = {quick()!r}
server = Postgresql()
server.start()
print(server.pid, server.folder, flush=True)
time.sleep(600)
"""


@pytest.fixture
def owner() -> Iterator[subprocess.Popen[str]]:
    if postgresql.missing():
        pytest.skip(postgresql.missing())
    command = [sys.executable, "-c", STARTS]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        yield running
        running.kill()


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False


def is_gone(pid: int, folder: Path) -> bool:
    until = time.monotonic() + GONE_S
    while (lives(pid) or folder.exists()) and time.monotonic() < until:
        time.sleep(0.05)
    return not lives(pid) and not folder.exists()


@pytest.mark.parametrize("stands_still", [False, True])
def test_a_server_ends_with_an_owner_that_is_killed(
    owner: subprocess.Popen[str], stands_still: bool
) -> None:
    assert owner.stdout is not None
    number, name = owner.stdout.readline().split()
    pid, folder = int(number), Path(name)
    was_there = lives(pid) and folder.exists()
    if stands_still:
        os.kill(pid, signal.SIGSTOP)
    owner.kill()

    assert was_there
    assert is_gone(pid, folder)


def test_a_server_that_is_closed_leaves_nothing() -> None:
    if postgresql.missing():
        pytest.skip(postgresql.missing())
    with postgresql.started() as server:
        pid, folder = server.pid, server.folder
        keeper = server.keeper

    assert not lives(pid) and not lives(keeper) and not folder.exists()


def test_only_what_an_owner_that_is_gone_has_left_is_swept(tmp_path: Path) -> None:
    names = ("pg-left", "pg-held", "pg-young", "pg-strange", "another")
    folders = {name: tmp_path / name for name in names}
    for name, folder in folders.items():
        (folder / "data").mkdir(parents=True)
        if name != "pg-strange":
            (folder / OWNER).touch()
        if name != "pg-young":
            os.utime(folder, (0, 0))
    # What it was named after has ended, and another process has its number.
    (folders["pg-left"] / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n")
    lock = owned(folders["pg-held"])
    try:
        sweep(tmp_path, time.time())
        left = {path.name for path in tmp_path.iterdir()}
        sweep(tmp_path, time.time() + 2 * YOUNG_S)
        later = {path.name for path in tmp_path.iterdir()}
    finally:
        with suppress(OSError):
            os.close(lock)

    assert left == {"pg-held", "pg-young", "pg-strange", "another"}
    assert later == {"pg-held", "pg-strange", "another"}
