"""A restart after kill -9 with many jobs waiting: how long until the first match is answered."""

import asyncio
import time
from array import array
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import msgspec

from pilotage.proto.api.health import Health

from .figures import Figure, figure
from .load import backlog
from .load.asks import GIVEN, Voice
from .load.backing import Server
from .load.fleet import Member, enlist
from .load.gauges import Gauge
from .load.line import Line
from .load.stage import Act, Stage, play, stage
from .load.wire import NotAnswered, head, request

NAME = "rebuild"
PILOTS = 16
LOOK_S = 0.005
WORK = (
    "The bench kills a central and starts it again, with jobs of 1,000 owners waiting. Times count "
    "from the start of the process until a pilot gets a job."
)
BOUND = "Reading job rows and filling the matcher costs 1.5 µs a job."

ON_POSTGRESQL = (
    "The same on PostgreSQL. A *hot standby* is a second process that already waits at the kill."
)
BOUND_ON_POSTGRESQL = "Up to 5 s of it is the lease of the killed leader."


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    jobs: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    owners: int = backlog.OWNERS


FULL = Scale()


def run() -> tuple[str, list[Figure]]:
    """Measure at full scale."""
    return WORK, measure(FULL)


def on_postgresql(server: Server) -> tuple[str, list[Figure]]:
    """Measure at full scale, with the store in a database."""
    return ON_POSTGRESQL, [*measure(FULL, server), *taken_over(FULL, server)]


def measure(scale: Scale, server: Server | None = None) -> list[Figure]:
    """Measure all rows."""
    figures: list[Figure] = []
    name = NAME if server is None else f"{NAME}-postgresql"
    for jobs in scale.jobs:
        with stage(server) as on:
            figures += _again(name, on, jobs, min(scale.owners, jobs // 10))
    return figures


def taken_over(scale: Scale, server: Server) -> list[Figure]:
    """Measure how long after a kill one that stood by has given the first job."""
    figures: list[Figure] = []
    for jobs in scale.jobs:
        with stage(server) as on, on.act() as act:
            owners = min(scale.owners, jobs // 10)
            play(backlog.scattered(act.url, act.token, jobs, owners=owners))
            members = play(enlist(act.url, act.token, PILOTS))
            with on.beside(act, "api,dispatch,agents") as url:
                began = time.perf_counter()
                act.central.process.kill()
                took_s = play(_first_match(url, members)) - began
        name = f"first match of a hot standby, {jobs} waiting"
        figures.append(figure(f"{NAME}-postgresql", name, took_s, "s"))
    return figures


def _again(name: str, on: Stage, jobs: int, owners: int) -> list[Figure]:
    with on.act() as act:
        play(backlog.scattered(act.url, act.token, jobs, owners=owners))
        members = play(enlist(act.url, act.token, PILOTS))
        url = act.url
        act.central.process.kill()
    with ThreadPoolExecutor(1) as beside:
        began = time.perf_counter()
        asking = beside.submit(play, _first_match(url, members))
        with on.act(url=url) as act:
            first_s = asking.result() - began
            play(_loaded(act, jobs))
            loaded_s = time.perf_counter() - began
            memory_mb = Gauge(act.pid).memory_mb()
    return [
        figure(name, f"first match, {jobs} waiting", first_s, "s"),
        figure(name, f"all loaded, {jobs} waiting", loaded_s, "s"),
        figure(name, f"resident then, {jobs} waiting", memory_mb, "MB"),
    ]


async def _first_match(url: str, members: Sequence[Member]) -> float:
    """Ask until a job is given; return when that was."""
    voices = [Voice(member, cores=1) for member in members]
    while True:
        for voice in voices:
            try:
                line = await Line.open(url, array("d"))
                found = GIVEN.search(await line.ask(voice.ask(1)))
                await line.close()
            except (OSError, NotAnswered):
                found = None
            if found is not None:
                return time.perf_counter()
            await asyncio.sleep(LOOK_S)


async def _loaded(act: Act, jobs: int) -> None:
    """Wait until all jobs wait that were not given away meanwhile."""
    line = await Line.open(act.url, array("d"))
    said = request(head("/health", method="GET"))
    while True:
        health = msgspec.json.decode(await line.ask(said), type=Health)
        if health.jobs_waiting >= jobs - PILOTS:
            break
        await asyncio.sleep(LOOK_S)
    await line.close()
