"""A killed bench leaves no process behind."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.running import eventually

BENCH = """
import sys, time
from tests.bench.load import probe
probe.start(sys.argv[1], 600)
time.sleep(600)
"""


@pytest.mark.thorough
def test_a_killed_bench_takes_its_probe_with_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        bench = subprocess.Popen([sys.executable, "-c", BENCH, url])
        children = Path(f"/proc/{bench.pid}/task/{bench.pid}/children")
        found = eventually(
            lambda: [one for one in children.read_text().split() if _is_probe(one)], what="a probe"
        )
        bench.kill()
        bench.wait()

        eventually(lambda: not any(map(_is_probe, found)), what="the end of it", within_s=20)


def _is_probe(process: str) -> bool:
    """Return whether a process lives, is tied to the bench, and has become the probe.

    Before that it is a copy of the bench, then the program that ties it.
    """
    try:
        words = Path("/proc", process, "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return words[:2] == [sys.executable.encode(), b"-m"]
