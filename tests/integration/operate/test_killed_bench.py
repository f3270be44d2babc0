"""A bench that is killed leaves no process behind."""

import signal
import subprocess
import sys
from pathlib import Path

from tests.acceptance.running import eventually

BENCH = """
import os, sys
from tests.bench.rig import rig
with rig(mosquitto=True) as one:
    (pilot,) = one.pilots(1, cores=1, isolation="session")
    print(one.central.process.pid, pilot.process.pid, one.central.data.parent, flush=True)
    sys.stdin.read()
"""


def test_central_pilot_and_broker_end_with_a_bench_that_is_killed() -> None:
    command = [sys.executable, "-c", BENCH]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as bench:
        assert bench.stdout is not None
        central, pilot, folder = bench.stdout.readline().split()
        assert {int(central), int(pilot)} <= set(_below(folder))
        bench.send_signal(signal.SIGKILL)
        bench.wait()

        eventually(lambda: not _below(folder), what="the end of all its processes", within_s=30.0)


def _below(folder: str) -> list[int]:
    """Return the processes whose command lines name a folder."""
    found: list[int] = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            said = (place / "cmdline").read_bytes()
        except OSError:
            continue
        if folder.encode() in said:
            found.append(int(place.name))
    return found
