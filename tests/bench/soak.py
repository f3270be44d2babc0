"""A mixed load for an hour: memory and open files of a central must not grow.

`python -m tests.bench.soak [MINUTES] [PAGE]`; `make soak` runs it for an hour.
"""

import asyncio
import sys
import uuid
from array import array
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from .figures import Figure, Report, figure, percentile
from .load import backlog
from .load.asks import Living, Voice
from .load.fleet import enlist
from .load.gauges import Gauge
from .load.line import Line
from .load.lives import Lived, Pace, live, settle
from .load.stage import Act, play, stage
from .load.wire import converse, head, request
from .machine import Watch
from .render import as_table, into_page

NAME = "soak"
EVERY_S = 5.0
SETTLES_S = 900.0  # what submitting, enlisting and the end may take beside
WORK = (
    "A million jobs wait. Pilots run short jobs, others come and go, and a submitter fills the "
    f"queue, reads and kills. Samples every {EVERY_S:g} s; the slope is that of the last two "
    "thirds."
)


@dataclass(frozen=True)
class Scale:
    """How much, and for how long."""

    seconds: float = 3_600.0
    waiting: int = 1_000_000  # their rows fill the store's cache: while it fills, memory grows
    pilots: int = 40
    slots: int = 8
    job_s: float = 4.0
    beat_s: float = 2.0
    every_s: float = EVERY_S
    come_and_go: int = 4  # pilots each time


FULL = Scale()


@dataclass
class Seen:
    """Points of one run."""

    at_s: list[float] = field(default_factory=list[float])
    memory_mb: list[float] = field(default_factory=list[float])
    files: list[int] = field(default_factory=list[int])


def measure(scale: Scale) -> list[Figure]:
    """Measure all rows."""
    # The pilots of a bench fetch no new tokens: theirs must outlive it.
    options = {"token.pilot_s": f"{scale.seconds + SETTLES_S:.0f}"}
    with stage() as on, on.act(options) as act:
        play(backlog.scattered(act.url, act.token, scale.waiting, owners=100))
        return play(_soak(act, scale))


async def _soak(act: Act, scale: Scale) -> list[Figure]:
    lived, seen, gauge = Lived(), Seen(), Gauge(act.pid)
    members = await enlist(act.url, act.token, scale.pilots)
    pace = Pace(job_s=scale.job_s, beat_s=scale.beat_s)
    lives = await settle(act, members, pace, lived, slots=scale.slots)
    async with asyncio.TaskGroup() as tasks:
        around = [
            tasks.create_task(_points(gauge, seen, scale)),
            tasks.create_task(_people(act, lived, scale)),
            tasks.create_task(_come_and_go(act, scale)),
        ]
        await live(lives, scale.seconds)
        for beside in around:
            beside.cancel()
    for one in lives:
        await one.close()
    return _figures(scale, lived, seen, gauge)


async def _points(gauge: Gauge, seen: Seen, scale: Scale) -> None:
    clock = asyncio.get_running_loop().time
    began = clock()
    while True:
        await asyncio.sleep(scale.every_s)
        seen.at_s.append(clock() - began)
        seen.memory_mb.append(gauge.memory_mb())
        seen.files.append(gauge.files())


async def _people(act: Act, lived: Lived, scale: Scale) -> None:
    """Submit what has ended, look at jobs and kill some that wait."""
    line, told = await Line.open(act.url, array("d")), 0
    looks = [
        request(head(path, act.token, method="GET"))
        for path in ("/v1/jobs?limit=100", "/v1/jobs/summary?by=site", "/v1/pilots", "/metrics")
    ]
    while True:
        await asyncio.sleep(scale.every_s)
        count, told = max(1, lived.ended - told), lived.ended
        body = {
            "key": uuid.uuid4().hex,
            "template": {"command": ["run", "{n}"], "needs": [{"wall_s": 60, "memory_mb": 100}]},
            "parameters": [{"n": n} for n in range(count)],
        }
        said = request(head("/v1/submissions", act.token), msgspec.json.encode(body))
        made = msgspec.json.decode(await line.ask(said))
        job = made["ids"][0]["first"]
        kill = {"action": "kill", "ids": [job]}
        await line.ask(request(head("/v1/jobs/actions", act.token), msgspec.json.encode(kill)))
        for look in looks:
            await line.ask(look)


async def _come_and_go(act: Act, scale: Scale) -> None:
    """Let pilots register, run some jobs and end, each on a connection of its own."""
    while True:
        await asyncio.sleep(scale.every_s)
        members = await enlist(act.url, act.token, scale.come_and_go)
        talks = [Living(Voice(one, cores=4), jobs_max=4, lives=2, output=b"") for one in members]
        await converse(act.url, talks)
        for one in members:
            line = await Line.open(act.url, array("d"))
            await line.ask(Voice(one, cores=4).goodbye())
            await line.close()


def _figures(scale: Scale, lived: Lived, seen: Seen, gauge: Gauge) -> list[Figure]:
    late = len(seen.at_s) // 3
    slope = _slope(seen.at_s[late:], seen.memory_mb[late:]) * 3_600
    level = sum(seen.memory_mb[late:]) / max(1, len(seen.memory_mb[late:]))
    files = _slope(seen.at_s[late:], list(map(float, seen.files[late:]))) * 3_600
    return [
        figure(NAME, "memory, slope", slope / level * 100, "%/h"),
        figure(NAME, "open files, slope", files, "files/h"),
        figure(NAME, "resident at the end", seen.memory_mb[-1], "MB"),
        figure(NAME, "open files at the end", seen.files[-1], "files"),
        figure(NAME, "jobs ended", lived.ended / scale.seconds, "jobs/s"),
        figure(NAME, "beats", lived.beats / scale.seconds, "beats/s"),
        figure(NAME, "requests, p99", percentile(list(lived.took_ms), 0.99), "ms"),
        figure(NAME, "central's CPU", gauge.cpu_s() / scale.seconds * 100, "% of a core"),
    ]


def _slope(xs: list[float], ys: list[float]) -> float:
    """Return the slope of the line that fits best."""
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - mean_x) ** 2 for x in xs)
    along = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return along / spread if spread else 0.0


def main(words: list[str]) -> int:
    """Run for some minutes; write the result into a page, if one is named."""
    minutes = float(words[0]) if words else FULL.seconds / 60
    watch = Watch()
    figures = measure(Scale(seconds=60 * minutes))
    work = f"{WORK} The run took {minutes:g} minutes."
    report = Report(bench=NAME, machine=watch.machine(), work=work, figures=figures)
    as_table(report)
    if len(words) > 1:
        into_page(Path(words[1]), [report])
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
