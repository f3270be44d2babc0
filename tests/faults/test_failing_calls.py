"""System calls of the central fail, each N-th one in turn: it refuses or ends, and loses nothing.

strace makes the N-th call of each thread fail, in a central under load. One that ended is started
again, as a service manager would do.
"""

import asyncio
import contextlib
import hashlib
import os
import random
import shutil
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from pilotage.pilot.ports import NoReply

from .campaign import Stage, under_load
from .wire_http import BYTES, WireHttp

OPTIONS = {"lease.lease_s": "20"}
OF_THE_DISK = r"^OSError: \[Errno (5|24)\]|^sqlite3\.|StoreBroken"  # requests that end in a 500
HAPPENS_S = 4.0
EXIT_BROKEN = 70
ABORTED = -signal.SIGABRT  # libuv, where it cannot wake its own loop

# what fails, and how
FAULTS = (
    ("fdatasync", "EIO"),
    ("pwrite64", "EIO"),
    ("pwrite64", "ENOSPC"),
    ("openat", "EMFILE"),
    ("openat", "EIO"),
    ("fsync", "EIO"),
    ("pread64", "EIO"),
    ("accept4", "EMFILE"),
    ("write", "EIO"),
)
SHORT = (
    ("fdatasync", "EIO", 3),
    ("pwrite64", "ENOSPC", 40),
    ("openat", "EMFILE", 1),
    ("accept4", "EMFILE", 1),
    ("fsync", "EIO", 2),
    ("pwrite64", "EIO", 7),
    ("pread64", "EIO", 2),
)

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")


async def fail(stage: Stage, folder: Path, stored: list[str], call: str, error: str, n: int) -> str:
    """Let the N-th such call of each thread fail; return what became of the central."""
    process, notes = stage.central.process, folder / "strace"
    notes.unlink(missing_ok=True)
    tracing = await asyncio.create_subprocess_exec(
        *("strace", "-f", "-qq", "-p", str(process.pid), "-o", str(notes)),
        *("-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={n}"),
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(int(HAPPENS_S / 0.05)):
            await asyncio.sleep(0.05)
            await poke(stage, stored)
            if process.poll() is not None or "INJECTED" in _said(notes):
                break
        await asyncio.sleep(0.3)  # for what it does about it
    finally:
        with contextlib.suppress(ProcessLookupError):  # it has ended with what it traced
            tracing.terminate()
        await tracing.wait()
    happened = "INJECTED" in _said(notes)
    if process.poll() is None:
        return "went on" if happened else "did not happen"
    code = process.returncode
    assert code in (EXIT_BROKEN, ABORTED), f"{call} {error} {n}: exit code {code}"
    await stage.restart()
    return "ended"


async def poke(stage: Stage, stored: list[str]) -> None:
    """Look for jobs and store a file, over a connection of its own; it need not be answered."""
    content = os.urandom(3_000)
    name = hashlib.sha256(content).hexdigest()
    http = WireHttp(stage.central.url)
    with contextlib.suppress(NoReply):
        await http.request("GET", "/v1/jobs?limit=200", token=stage.token, timeout_s=1.0)
        reply = await http.request(
            "PUT", f"/v1/blobs/{name}", content, token=stage.token, timeout_s=1.0, kind=BYTES
        )
        if reply.status == 200:
            stored.append(name)
    http.close()


def _said(notes: Path) -> str:
    return notes.read_text() if notes.exists() else ""


async def failing(folder: Path, faults: list[tuple[str, str, int]]) -> Counter[str]:
    found: Counter[str] = Counter()
    stored: list[str] = []
    async with under_load(folder / "it", OPTIONS, pause_s=0.1, errors=OF_THE_DISK) as stage:
        await asyncio.sleep(1.0)
        for call, error, n in faults:
            found[f"{call} {error} {await fail(stage, folder, stored, call, error, n)}"] += 1
    blobs = stage.central.data / "blobs"
    print(dict(found), f"{len(stored)} files")

    assert not [one for one in stored if not (blobs / one[:2] / one[2:]).is_file()]
    return found


async def test_a_central_whose_calls_fail_ends_or_goes_on_and_loses_nothing(tmp_path: Path) -> None:
    found = await failing(tmp_path, list(SHORT))

    assert found["fdatasync EIO ended"] == 1, "a failed sync was survived: it may have lost pages"
    assert found["pwrite64 ENOSPC went on"] == 1
    assert not [one for one in found if one.endswith("did not happen")]


@pytest.mark.long
@pytest.mark.parametrize(("call", "error"), FAULTS)
async def test_each_of_sixty_calls_may_fail(tmp_path: Path, call: str, error: str) -> None:
    numbers = list(range(1, 61))
    random.Random(call).shuffle(numbers)
    await failing(tmp_path, [(call, error, n) for n in numbers])
