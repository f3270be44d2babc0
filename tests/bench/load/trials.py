"""One stretch of load on a central, and what it cost."""

import hashlib
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pilotage.central.operate.process import spare_the_collector

from ..figures import percentile
from .asks import Asking, Given, Living, Voice
from .backlog import CONTENT
from .fleet import enlist
from .gauges import Gauge
from .stage import Act
from .wire import NotAnswered, Talk, converse

OUTPUT = b'{"name":"run.simtel.zst","sha256":"%b","size_bytes":%d}'


@dataclass(frozen=True)
class Trial:
    """What a stretch of load came to."""

    jobs: int
    wall_s: float
    central_s: float  # CPU of the central, all threads
    took_ms: "array[float]"  # of each request
    server_s: float | None = None  # CPU of the database's server, where we have started one

    @property
    def rate(self) -> float:
        return self.jobs / self.wall_s

    @property
    def cpu_us(self) -> float:
        """Return the central's CPU time a job."""
        return self.central_s / self.jobs * 1e6

    @property
    def server_us(self) -> float | None:
        """Return the CPU time of the database's server a job."""
        return None if self.server_s is None else self.server_s / self.jobs * 1e6

    @property
    def p99_ms(self) -> float:
        return percentile(list(self.took_ms), 0.99)


@dataclass(frozen=True)
class Crowd:
    """How many pilots on how many connections, and how they ask."""

    pilots: int
    connections: int
    jobs_max: int  # of one ask
    rounds: int  # how often each pilot asks


async def dispatch(act: Act, crowd: Crowd) -> Trial:
    """Let pilots ask and keep what they get; their connections take turns of many pilots each."""
    members = await enlist(act.url, act.token, crowd.pilots, tls=act.tls)
    cores = crowd.jobs_max * crowd.rounds
    voices = [Voice(member, cores=cores) for member in members]
    talks = [
        Asking(voices[at :: crowd.connections], jobs_max=crowd.jobs_max, rounds=crowd.rounds)
        for at in range(crowd.connections)
    ]
    spare_the_collector()  # what we do in between would be called the central's time
    return await _measured(act, talks, lambda: _each_once([talk.given for talk in talks]))


async def life(act: Act, crowd: Crowd) -> Trial:
    """Let pilots run jobs that take no time: match, start, end with an output, and again."""
    members = await enlist(act.url, act.token, crowd.pilots, tls=act.tls)
    output = OUTPUT % (hashlib.sha256(CONTENT).hexdigest().encode(), len(CONTENT))
    talks = [
        Living(
            Voice(member, cores=crowd.jobs_max),
            jobs_max=crowd.jobs_max,
            lives=crowd.rounds,
            output=output,
        )
        for member in members
    ]
    spare_the_collector()
    return await _measured(act, talks, lambda: _each_once([talk.ended for talk in talks]))


async def _measured(act: Act, talks: Sequence[Talk], jobs: Callable[[], int]) -> Trial:
    server_before = act.server_cpu_s()
    gauge, began = Gauge(act.pid), time.perf_counter()
    took_ms = await converse(act.url, talks, tls=act.tls)
    wall_s, central_s, server_s = time.perf_counter() - began, gauge.cpu_s(), act.server_cpu_s()
    if server_s is not None and server_before is not None:
        server_s -= server_before
    return Trial(jobs(), wall_s, central_s, took_ms, server_s)


def _each_once(parts: Sequence[Sequence[Given]]) -> int:
    """Return how many jobs were given. Raises NotAnswered where one was given twice, or none."""
    given = [one[0] for part in parts for one in part]
    if not given or len(set(given)) < len(given):
        raise NotAnswered(f"{len(given)} jobs were given, {len(set(given))} different ones")
    return len(given)
