"""Payloads that do everything not to be found, held or ended, with real processes on every rung.

Each ends by itself after a while: should the guard fail, the machine that runs this test lives on.
"""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from pilotage.pilot.guard import held_payload, processes
from pilotage.pilot.outfit import isolation
from pilotage.pilot.ports import Ended
from pilotage.proto.messages import Limits

from ..test_guard import RUNGS, Playground, eventually, playing, sh
from .test_limits import python

GRACE_S = 0.3
# What follows is never done outside of a PID namespace: as root it would end the machine.
INSIDE = f"""
import os, signal, time
if os.getpid() > 50 or os.readlink("/proc/self/ns/pid") == {os.readlink("/proc/self/ns/pid")!r}:
    raise SystemExit("not in a namespace of its own")
if os.fork() == 0:
    time.sleep(30)
"""
ALONE = {  # by rungs that have a PID namespace
    "kills all": INSIDE + "os.kill(-1, signal.SIGKILL); print('ready', flush=True); time.sleep(30)",
    "stops all": INSIDE + "os.kill(-1, signal.SIGSTOP); print('ready', flush=True); time.sleep(30)",
    "kills the first": INSIDE
    + "os.kill(1, signal.SIGSTOP); os.kill(1, signal.SIGKILL); print('ready', flush=True)\n"
    + "time.sleep(30)",
}
RENAMED = """
import ctypes, os, time
ctypes.CDLL(None).prctl(15, b") Z 1 1 1 (", 0, 0, 0)
if os.environ.pop("AGAIN", None) is None:
    os.execve(os.environ["PYTHON"], ["[kworker/0:1]", "-c", os.environ["CODE"]],
              {"PYTHON": os.environ["PYTHON"], "CODE": os.environ["CODE"], "AGAIN": "1"})
print("ready", flush=True)
time.sleep(30)
"""
WANDERS = """
import os, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.setpgid(0, 0)
print("ready", flush=True)
time.sleep(30)
"""
# A new process with a new session each time, of which each lives for no time at all.
RABBIT = """
import os, time
if os.fork():
    print("ready", flush=True)
    time.sleep(30)
    os._exit(0)
until = time.monotonic() + 10
while time.monotonic() < until:
    if os.fork():
        os._exit(0)
    os.setsid()
"""
BLOCKS = """
import signal, time
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
print("ready", flush=True)
time.sleep(30)
"""
# The parent of a process that is being made waits in the kernel: state D. This one is never made,
# because nobody writes into the pipe that its input is opened from.
WAITS_IN_THE_KERNEL = """
import os
os.mkfifo("pipe")
print("ready", flush=True)
os.posix_spawn("/bin/true", ["true"], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 0, "pipe", 0, 0)])
"""
CASES = {
    "renames itself": python(RENAMED),
    "changes groups and sessions": python(WANDERS),
    "is never the same process": python(RABBIT),
    "blocks all signals": python(BLOCKS),
    "waits in the kernel": python(WAITS_IN_THE_KERNEL),
    "ignores the soft signal": sh('trap "" TERM HUP INT; echo ready; sleep 30; sleep 30'),
    "stops itself": sh("echo ready; kill -STOP $$; sleep 30"),
    "stops its parent": sh("kill -STOP $PPID; echo ready; sleep 30"),
    "closes its output": sh("echo ready; exec >&- 2>&- <&-; sleep 30"),
    "deletes its folder": sh(
        'echo ready; sleep 0.5; rm -rf "$PWD" "$PWD/../tmp" ../stdout; sleep 30'
    ),
    "forks daemons": sh("setsid -f sleep 30; (setsid sh -c 'sleep 30; :' &); echo ready; sleep 30"),
    "leaves its folder to nobody": sh("mkdir a; echo x >a/b; chmod 0 a .; echo ready; sleep 30"),
}


def _cases(rung: str) -> dict[str, tuple[str, ...]]:
    cases = dict(CASES)
    if rung == isolation.SESSION:
        del cases["stops its parent"]  # that is the guard: this rung cannot hinder it
    else:
        cases.update({name: python(script) for name, script in ALONE.items()})
    return cases


def _left(play: Playground) -> list[str]:
    return [f"{one.pid} {_command(one.pid)}" for one in _below(play)]


def _below(play: Playground) -> list[processes.Process]:
    """Return what lives below the guard."""
    guard = play.link.pid
    return [one for one in processes.family(processes.every(), [guard]) if one.pid != guard]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return "?"


@pytest.mark.parametrize("rung", RUNGS)
async def test_nothing_that_a_payload_does_keeps_it_alive(tmp_path: Path, rung: str) -> None:
    """All of them side by side: frozen, thawed, then stopped with a short grace."""
    async with playing(tmp_path, rung) as play:
        names: dict[int, str] = {}
        for name, command in _cases(rung).items():
            code = {"CODE": command[-1], "PYTHON": command[0]}
            attempt = play.enter(
                play.make(), *command, limits=Limits(processes=500), environment=code
            )
            names[attempt] = name
        for attempt, name in names.items():
            await eventually(lambda a=attempt: _is_ready(play, a), f"{name} is ready")  # type: ignore[misc]
        states = {one.state for one in _below(play)}
        for attempt in names:
            play.fence(attempt, -1.0)
        frozen = {(await play.news(lambda one: one.frozen)).attempt_id for _ in names}
        for attempt in names:
            play.fence(attempt, 600.0)
        for attempt in names:
            play.link.stop(attempt, GRACE_S)
        ended: dict[str, Ended] = {}
        async with asyncio.timeout(20):
            while len(ended) < len(names):
                news = await play.link.news()
                if news.ended is not None:
                    ended[names[news.attempt_id]] = news.ended
        left = _left(play)

    assert "D" in states
    assert frozen == set(names)
    assert left == []
    assert {name for name, one in ended.items() if one.why not in ("", "killed")} == set()
    assert ended["ignores the soft signal"].signal == signal.SIGKILL
    assert max(one.usage.wall_s for one in ended.values()) < 12.0


def _is_ready(play: Playground, attempt: int) -> bool:
    return "ready" in play.output(attempt)


@pytest.mark.parametrize("rung", RUNGS)
async def test_a_node_without_memory_ends_payloads_before_their_guard(
    tmp_path: Path, rung: str
) -> None:
    async with playing(tmp_path, rung) as play:
        attempt = play.start("cat", "/proc/self/oom_score_adj")
        await play.ended(attempt)
        of_the_guard = _oom(str(play.link.pid))

    assert of_the_guard == _oom("self")
    assert int(play.output(attempt)) == of_the_guard + held_payload.OOM_SOONER


def _oom(pid: str) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())
