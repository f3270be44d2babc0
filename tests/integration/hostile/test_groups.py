"""Control groups of a real kernel: payloads are stopped and killed in them in one step.

What `tests/unit/pilot/test_cgroups.py` shows on a tree of plain files needs a part of a real tree
to be ours here, which no ordinary machine gives: so this runs with the long tests, where it can.
"""

import asyncio
import os
import secrets
import signal
from collections.abc import Generator
from pathlib import Path

import pytest

from ..test_guard import NAMESPACES, RUNGS, eventually, playing, sh
from .test_limits import python

MOUNTS = [Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified")]
OURS = [one for one in MOUNTS if (one / "cgroup.procs").exists() and os.access(one, os.W_OK)]

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not OURS, reason="no control groups of version 2 that may be written to"),
]

# Each child lives for a moment, and its parent is told nothing of what it has used.
UNSEEN = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in range(1000):
    if not os.fork():
        while time.process_time() < 0.01: pass
        os._exit(0)
    time.sleep(0.02)
"""


@pytest.fixture
def groups() -> Generator[Path]:
    folder = OURS[0] / f"pilotage-test-{secrets.token_hex(4)}"
    folder.mkdir()
    yield folder
    folder.rmdir()  # fails where a payload's group is left


@pytest.mark.parametrize("rung", RUNGS)
async def test_a_payload_is_frozen_thawed_and_killed_in_its_group(
    tmp_path: Path, rung: str, groups: Path
) -> None:
    async with playing(tmp_path, rung, groups=str(groups)) as play:
        counting = "i=0; while :; do i=$((i+1)); echo $i; done"
        attempt = play.start(*sh(f"(setsid sh -c '{counting}' &); {counting}"), memory_mb=0)
        group = groups / f"pilotage-{attempt}"
        await eventually(lambda: group.exists() and _members(group), "it is in its group")
        play.fence(attempt, -1.0)
        await play.news(lambda one: one.frozen)
        frozen = (group / "cgroup.events").read_text()
        before = play.output(attempt)
        await asyncio.sleep(0.7)
        after = play.output(attempt)
        play.fence(attempt, 600.0)
        await play.news(lambda one: one.thawed)
        await eventually(lambda: play.output(attempt) != after, "it goes on")
        play.link.stop(attempt, 0.0)
        ended = await play.ended(attempt)

        assert "frozen 1" in frozen
        assert after == before
        assert (ended.signal, ended.why) == (signal.SIGKILL, "killed")
        assert not group.exists()


@pytest.mark.parametrize("rung", RUNGS)
async def test_cpu_that_nobody_sees_or_waits_for_is_counted_in_its_group(
    tmp_path: Path, rung: str, groups: Path
) -> None:
    async with playing(tmp_path, rung, groups=str(groups)) as play:
        attempt = play.start(*python(UNSEEN), memory_mb=0)
        group = groups / f"pilotage-{attempt}"
        await eventually(lambda: group.exists() and _members(group), "it is in its group")
        await asyncio.sleep(1.0)
        used_s = int((group / "cpu.stat").read_text().split()[1]) / 1e6
        play.link.stop(attempt, 0.0)
        ended = await play.ended(attempt)

    assert ended.why == "killed"
    assert ended.usage.cpu_s >= used_s > 0.0


@pytest.mark.parametrize("rung", NAMESPACES)
async def test_a_payload_can_neither_leave_its_group_nor_kill_that_of_the_pilot(
    tmp_path: Path, rung: str, groups: Path
) -> None:
    tries = f"echo $$ >{groups}/cgroup.procs; mkdir {groups}/mine; echo 1 >{groups}/cgroup.kill"
    async with playing(tmp_path, rung, groups=str(groups)) as play:
        attempt = play.start(
            *sh(f"until read go 2>&- <go; do sleep 0.01; done; ({tries}); exit 5"), memory_mb=0
        )
        os.mkfifo(play.work(attempt) / "go")
        group = groups / f"pilotage-{attempt}"
        await eventually(lambda: group.exists() and _members(group), "it is in its group")
        await asyncio.to_thread((play.work(attempt) / "go").write_text, "go\n")
        ended = await play.ended(attempt)

    assert (ended.exit_code, ended.why) == (5, "")
    assert play.output(attempt, "stderr").count("Read-only file system") == 3


def _members(group: Path) -> list[str]:
    return (group / "cgroup.procs").read_text().split()
