"""How long the event loop of a central lets a request wait, seen by a process that does nothing
else: `python -m tests.bench.load.probe URL SECONDS` prints each wait in ms, as JSON.
"""

import asyncio
import subprocess
import sys
from array import array

import msgspec

from pilotage.central.operate.process import tied

from .line import Line
from .stage import play
from .wire import head, request

EVERY_S = 0.02


def start(url: str, seconds: float) -> "subprocess.Popen[bytes]":
    """Start a probe beside the load generator."""
    words = [*tied(), sys.executable, "-m", __name__, url, str(seconds)]
    return subprocess.Popen(words, stdout=subprocess.PIPE)


def waits_ms(probe: "subprocess.Popen[bytes]") -> list[float]:
    """Return what a probe has seen, once it is over."""
    said, _ = probe.communicate(timeout=60)
    if probe.returncode != 0:
        raise RuntimeError(f"the probe beside the load ended with {probe.returncode}")
    return msgspec.json.decode(said, type=list[float])


async def look(url: str, seconds: float) -> list[float]:
    """Ask whether it is ready, again and again; return how many ms each answer took."""
    took_ms: array[float] = array("d")
    line, said = await Line.open(url, took_ms), request(head("/ready", method="GET"))
    until = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < until:
        await line.ask(said)
        await asyncio.sleep(EVERY_S)
    await line.close()
    return list(took_ms)


def tell(found: list[float]) -> None:
    """Print what was seen, all of it."""
    # An unbuffered sys.stdout drops what one write leaves: a pipe may take 64 kB only.
    with open(1, "wb", closefd=False) as out:
        out.write(msgspec.json.encode(found))


if __name__ == "__main__":
    tell(play(look(sys.argv[1], float(sys.argv[2]))))
