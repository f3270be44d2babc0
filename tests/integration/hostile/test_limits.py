"""Payloads that take more than they were given, with real processes, on every rung that works here.

Each is bounded by itself as well: should the guard fail, the machine that runs this test lives on.
"""

import asyncio
import math
import os
import re
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from pilotage.pilot.clock import BootClock
from pilotage.pilot.outfit import isolation
from pilotage.pilot.ports import Ended
from pilotage.proto.messages import Limits

from ..test_guard import NAMESPACES, NO_LIMITS, RUNGS, Playground, eventually, playing, sh

each_rung = pytest.mark.parametrize("rung", RUNGS)


def python(script: str) -> tuple[str, ...]:
    return (sys.executable, "-I", "-S", "-c", script)


@dataclass(frozen=True)
class Case:
    """A payload, what it is given, and how it ends."""

    command: tuple[str, ...]
    why: str
    detail: str  # as a pattern
    memory_mb: int = 0
    scratch_mb: int = 0
    limits: Limits = NO_LIMITS
    exit_code: int | None = None  # None: any
    within_s: float = 15.0  # of a machine that does other things as well


EATS = "import time; kept = [b'x' * 10_000_000 for _ in range(40)]; time.sleep(60)"
SHARES = """
import os, time
kept = b"x" * 120_000_000
for _ in range(2):
    os.fork()
time.sleep(4)
"""
# A parent that ignores SIGCHLD is told nothing of what its children have used.
UNTOLD = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in range(12):  # of each, all is seen but what it uses after the last look at it
    if not os.fork():
        while time.process_time() < 1.5: pass
        os._exit(0)
    time.sleep(1.0)
"""
FILLS = """
import os, time
with open("filled", "wb") as file:
    for n in range(200):
        file.write(bytes(1_000_000))
    file.flush()
    EARLY
    time.sleep(60)
"""
CLOSED = """
import os, time
os.mkdir("closed")
open("closed/filled", "wb").write(bytes(200_000_000))
os.chmod("closed", 0)
time.sleep(60)
"""
DEEP = """
import os, time
for _ in range(50):
    os.mkdir("d" * 200); os.chdir("d" * 200)
open("filled", "wb").write(bytes(200_000_000))
time.sleep(60)
"""
# Links that lead round in circles, and to the whole machine.
LOOPS = """
import os, time
for n in range(40):
    os.mkdir(f"d{n}"); os.symlink("..", f"d{n}/up"); os.symlink("/", f"d{n}/all")
    os.symlink(f"d{n}/up", f"l{n}")
time.sleep(1.2)
"""
# 256 processes that wait, and no more, whatever becomes of those that forked them.
BOMB = """
import os, time
for _ in range(8):
    os.fork()
time.sleep(60)
"""
TOO_MUCH = "(wrote|printed) [0-9.]+ [MG]B(?: to its folder)?, was given 100 MB"

CASES = {
    "eats memory": Case(
        python(EATS), "memory", r"used [2-4]\d\d MB, was given 200 MB", memory_mb=200
    ),
    "eats memory in eight processes": Case(
        python(f"import os\nfor _ in range(3): os.fork()\n{EATS.replace('40', '8')}"),
        *("memory", r"used [2-6]\d\d MB, was given 200 MB"),
        memory_mb=200,
    ),
    "shares memory": Case(python(SHARES), "", "", memory_mb=250, exit_code=0),
    "uses CPU and hears the signal": Case(
        sh('trap "exit 5" TERM; while :; do :; done'),
        *("cpu", "used [12] s of CPU, was given 1 s"),
        limits=Limits(cpu_s=1),
        exit_code=5,
        within_s=math.inf,
    ),
    "uses CPU in children that nobody waits for": Case(
        *(python(UNTOLD), "cpu", "used [3-9] s of CPU, was given 3 s"),
        limits=Limits(cpu_s=3),
        within_s=math.inf,
    ),
    "does nothing": Case(
        *(("sleep", "60"), "stalled", r"used no CPU for [1-4] s, the limit is 1 s"),
        limits=Limits(stall_s=1),
    ),
    "does something now and then": Case(
        python("import time\nfor _ in range(6): sum(range(2_000_000)); time.sleep(0.6)"),
        *("", ""),
        limits=Limits(stall_s=3),
        exit_code=0,
        within_s=math.inf,
    ),
    "fills the disk": Case(python(FILLS.replace("EARLY", "")), "scratch", TOO_MUCH, scratch_mb=100),
    "fills the disk and has deleted the file": Case(
        python(FILLS.replace("EARLY", "os.unlink('filled')")), "scratch", TOO_MUCH, scratch_mb=100
    ),
    "fills a folder that it has closed": Case(python(CLOSED), "scratch", TOO_MUCH, scratch_mb=100),
    "fills a folder deeper than a path can name": Case(
        *(python(DEEP), "scratch", "its folders are nested too deep to be measured: .*"),
        scratch_mb=100,
    ),
    "has links in circles": Case(python(LOOPS), "", "", scratch_mb=1, exit_code=0),
    "prints too much": Case(
        sh("yes | head -c 200000000; sleep 60"), "streams", TOO_MUCH, limits=Limits(streams_mb=100)
    ),
    "forks a bomb": Case(
        python(BOMB),
        *("processes", r"had \d+ processes at once, was given 50"),
        limits=Limits(processes=50),
    ),
}


@each_rung
async def test_payloads_that_take_more_than_they_were_given_end_with_the_figures(
    tmp_path: Path, rung: str
) -> None:
    """All of them side by side, under one guard."""
    async with playing(tmp_path, rung) as play:
        names = {_start(play, case): name for name, case in CASES.items()}
        ended: dict[str, Ended] = {}
        async with asyncio.timeout(50):
            while len(ended) < len(CASES):
                news = await play.link.news()
                if news.ended is not None:
                    ended[names[news.attempt_id]] = news.ended
        left = play.alive()

    assert {name: one.why for name, one in ended.items()} == {n: c.why for n, c in CASES.items()}
    strange = {
        name: one.detail
        for name, one in ended.items()
        if not re.fullmatch(CASES[name].detail, one.detail)
    }
    assert strange == {}
    late = {name: one.usage.wall_s for name, one in ended.items()}
    assert {name: s for name, s in late.items() if s > CASES[name].within_s} == {}
    codes = {name: (one.exit_code, CASES[name].exit_code) for name, one in ended.items()}
    assert {name: pair for name, pair in codes.items() if pair[1] not in (pair[0], None)} == {}
    at_once = [one.signal for one in ended.values() if one.why in ("memory", "processes")]
    assert set(at_once) == {signal.SIGKILL}
    assert 120 < ended["shares memory"].usage.memory_peak_mb < 250
    assert ended["fills the disk"].usage.scratch_peak_mb > 100
    assert left == []


def _start(play: Playground, case: Case) -> int:
    return play.start(
        *(*case.command, play.word),
        memory_mb=case.memory_mb,
        scratch_mb=case.scratch_mb,
        limits=case.limits,
    )


@each_rung
async def test_each_attempt_has_a_curve_of_what_it_used(tmp_path: Path, rung: str) -> None:
    script = (
        "import time; kept = b'x' * 50_000_000; open('f', 'wb').write(kept)\n"
        "while True: sum(range(2_000_000)); time.sleep(0.01)"
    )
    async with playing(tmp_path, rung) as play:
        attempt = play.start(*python(script), wall_s=2.2, memory_mb=0)
        ended = await play.ended(attempt)
        curve = (play.work(attempt).parent / "usage").read_text().splitlines()

    lines = [[float(word) for word in line.split()] for line in curve]
    assert 3 <= len(lines) <= 6
    assert [line[0] for line in lines] == sorted(line[0] for line in lines)
    assert lines[-1][0] == pytest.approx(ended.usage.wall_s, abs=0.2)
    assert lines[-1][1] == pytest.approx(ended.usage.cpu_s, abs=0.1)
    assert ended.usage.cpu_s > 0.3
    assert 50 < max(line[2] for line in lines) < 100
    assert 50 <= lines[-1][3] < 60
    assert max(line[4] for line in lines) == 1


async def test_a_frozen_payload_does_not_stall(tmp_path: Path) -> None:
    async with playing(tmp_path, RUNGS[0]) as play:
        attempt = play.start("sleep", "1.8", fence_s=0.3, limits=Limits(stall_s=2))
        await play.news(lambda one: one.frozen)
        await asyncio.sleep(1)
        play.fence(attempt, 600.0)
        await play.news(lambda one: one.thawed)
        ended = await play.ended(attempt)

    assert (ended.why, ended.exit_code) == ("", 0)


WARNED = """
import signal, time
def note(number, frame):
    print(f"{number} after {time.monotonic() - began:.1f} s", flush=True)
signal.signal(signal.SIGUSR1, note)
began = time.monotonic()
while time.monotonic() < began + 30: time.sleep(0.1)
"""


@each_rung
@pytest.mark.parametrize("what", ["wall", "end of the pilot", "signal to the pilot"])
async def test_a_payload_is_warned_before_it_is_stopped(
    tmp_path: Path, rung: str, what: str
) -> None:
    """Its shell knows nothing of the signal and lives on, and so does a child that sleeps."""
    async with playing(tmp_path, rung) as play:
        attempt = play.start(
            *sh(f"sleep 30 WORD & {sys.executable} -I -S -c '{WARNED.replace(chr(39), '')}'; wait"),
            wall_s=2.5 if what == "wall" else 600.0,
            memory_mb=0,
            limits=Limits(warning_s=2),
        )
        if what == "end of the pilot":
            play.link.ends(BootClock().now() + 2.5)
        elif what == "signal to the pilot":
            play.link.warn()
        await eventually(lambda: play.output(attempt), "it was warned")
        asleep = [one for one in play.alive() if one.startswith("sleep")]
        play.link.stop(attempt, 0.0)
        await play.ended(attempt)

    warned = re.findall(r"(\d+) after ([0-9.]+) s\n", play.output(attempt))
    assert [number for number, _ in warned] == [str(int(signal.SIGUSR1))]
    assert float(warned[0][1]) < 2.0
    assert len(asleep) == 1


@each_rung
async def test_a_process_that_waits_for_the_warning_later_gets_it_too(
    tmp_path: Path, rung: str
) -> None:
    """And the programs that a shell starts meanwhile, all signals held back, do not die of it."""
    starts = (
        'trap "echo warned" USR1; sleep 0.3; n=0; '
        "while [ $n -lt 100 ]; do /bin/true || exit 9; n=$((n+1)); done"
    )
    async with playing(tmp_path, rung) as play:
        attempt = play.start(
            *sh(f"{starts}; sh -c '{starts}'; exit 3"), memory_mb=0, limits=Limits(warning_s=2)
        )
        play.link.warn()
        ended = await play.ended(attempt)

    assert ended.exit_code == 3
    assert play.output(attempt).count("warned") in (1, 2)


# Daemons that nobody below the guard waits for, each gone before anybody looks.
SHORT = """
import os, time
for n in range(40):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while time.process_time() < 0.02: pass
            os.mkdir(f"done-{n}")
        os._exit(0)
    os.wait()
    time.sleep(0.02)
while len(os.listdir()) < 40: time.sleep(0.02)
"""


@each_rung
async def test_cpu_of_daemons_counts_that_nobody_saw(tmp_path: Path, rung: str) -> None:
    """Without namespaces, nobody could say whose it was if there were others."""
    async with playing(tmp_path, rung) as play:
        others = [] if rung == isolation.SESSION else [play.start("sleep", "60")]
        ended = await play.ended(play.start(*python(SHORT), memory_mb=0))
        for one in others:
            play.link.stop(one, 0.0)
        idle = [await play.ended(one) for one in others]

    assert ended.usage.cpu_s > 0.75
    assert all(one.usage.cpu_s < 0.2 for one in idle)


@pytest.mark.parametrize("rung", NAMESPACES)
@pytest.mark.parametrize(("place", "why"), [("/dev/shm", "memory"), ("/tmp", "scratch")])
async def test_what_a_payload_writes_to_its_private_folders_counts(
    tmp_path: Path, rung: str, place: str, why: str
) -> None:
    async with playing(tmp_path, rung) as play:
        script = f"head -c 60000000 /dev/zero >{place}/large; sleep 20"
        attempt = play.start(*sh(script), memory_mb=40, scratch_mb=40)
        ended = await play.ended(attempt)

    assert ended.why == why, ended.detail
    assert "large" not in os.listdir(place)
