"""What a probe beside a load has seen."""

import contextlib
import os
import subprocess
import sys

import msgspec

SEEN = """
import asyncio
from tests.bench.load import probe, stage
stage.play(asyncio.sleep(0))
probe.tell([1 / 3] * 20_000)
"""


def test_all_that_a_probe_has_seen_arrives_although_nobody_reads_it_at_once() -> None:
    words = [sys.executable, "-c", SEEN]
    unbuffered = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(words, env=unbuffered, stdout=subprocess.PIPE) as probe:
        with contextlib.suppress(subprocess.TimeoutExpired):
            probe.wait(2.0)  # it waits for its reader; it ended here, and had lost the most
        said, _ = probe.communicate(timeout=60)

    assert len(msgspec.json.decode(said, type=list[float])) == 20_000
