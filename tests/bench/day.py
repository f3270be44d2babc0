"""A day of a large experiment, accelerated: what of a core the central needs for it."""

import asyncio
from dataclasses import dataclass

from .figures import Figure, figure, percentile
from .load import backlog
from .load.fleet import enlist
from .load.gauges import Gauge
from .load.lives import BEAT_S, Lived, Pace, live, settle
from .load.stage import Act, play, stage

NAME = "day"
JOB_S = 3_600.0
WORK = (
    "5,500 one-hour jobs run at four sites and 872,000 wait, with uploads and heartbeats. The load "
    "runs at 60 times the real pace; the figure is the idle CPU plus a sixtieth of the rest."
)
BOUND = "Idle work dominates: the lease watch and the counters."


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    waiting: int = 872_000
    owners: int = 500
    running: int = 5_500
    slots: int = 8
    faster: float = 60.0
    seconds: float = 60.0
    quiet_s: float = 20.0


FULL = Scale()


def run() -> tuple[str, list[Figure]]:
    """Measure at full scale."""
    return WORK, measure(FULL)


def measure(scale: Scale) -> list[Figure]:
    """Measure all rows."""
    with stage() as on, on.act() as act:
        jobs = scale.waiting + scale.running
        play(backlog.scattered(act.url, act.token, jobs, owners=scale.owners))
        return play(_lived(act, scale))


async def _lived(act: Act, scale: Scale) -> list[Figure]:
    lived = Lived()
    pace = Pace(job_s=JOB_S / scale.faster, beat_s=BEAT_S / scale.faster)
    members = await enlist(act.url, act.token, -(-scale.running // scale.slots))
    lives = await settle(act, members, pace, lived, slots=scale.slots)
    gauge = Gauge(act.pid)
    await asyncio.sleep(scale.quiet_s)
    quiet = gauge.cpu_s() / scale.quiet_s
    del lived.took_ms[:]
    gauge = Gauge(act.pid)
    await live(lives, scale.seconds)
    for one in lives:
        await one.close()
    busy = gauge.cpu_s() / scale.seconds
    share = quiet + max(0.0, busy - quiet) / scale.faster
    return [
        figure(NAME, "central at real pace", share * 100, "% of a core"),
        figure(NAME, "when nobody speaks", quiet * 100, "% of a core"),
        figure(NAME, f"at {scale.faster:g} times the pace", busy * 100, "% of a core"),
        figure(NAME, "jobs ended", lived.ended / scale.seconds, "jobs/s"),
        figure(NAME, "beats", lived.beats / scale.seconds, "beats/s"),
        figure(NAME, "requests, p99", percentile(list(lived.took_ms), 0.99), "ms"),
        figure(NAME, "resident", gauge.memory_mb(), "MB"),
    ]
