"""Pilots that ask for work over HTTP: how many jobs are given out, durable, and what that costs."""

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

import msgspec

from .figures import Figure, figure
from .load import backlog
from .load.backing import Server
from .load.claims import Claims, claims
from .load.gauges import Gauge
from .load.stage import Act, Stage, play, stage
from .load.trials import Crowd, Trial, dispatch
from .load.wire import head, request, run_errands

NAME = "dispatch"
PAIRS: Final = 5  # of runs with and without what is compared
LOOK_EVERY_S: Final = 0.1
WORK = (
    "Simulated pilots ask for jobs, with tokens, shares and limits; each answer follows fdatasync. "
    "*Scattered* jobs belong to 1,000 owners in turn, so each match touches another place of 10^6 "
    "rows."
)
BOUND = (
    "The interpreter is the limit: it runs the event loop and the writer in turn. The disk is no "
    "limit."
)

ON_POSTGRESQL = (
    "The same load; PostgreSQL shares two cores with the central and the load. *The loop* is one "
    "worker without a central that claims rows with `FOR UPDATE SKIP LOCKED`, and ignores needs, "
    "shares and tokens. *To the loop* is the central's rate divided by that of the loop."
)
BOUND_ON_POSTGRESQL = (
    "The two cores are the limit. A group of matches needs four round trips and one sync."
)


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    jobs: int = 1_000_000
    owners: int = backlog.OWNERS
    smaller: tuple[int, ...] = (10_000, 100_000)
    singly: Crowd = Crowd(pilots=6_400, connections=64, jobs_max=1, rounds=8)
    together: Crowd = Crowd(pilots=1_280, connections=8, jobs_max=32, rounds=4)
    of_smaller: Crowd = Crowd(pilots=1_000, connections=64, jobs_max=1, rounds=8)
    of_apis: Crowd = Crowd(pilots=3_200, connections=64, jobs_max=1, rounds=4)
    bulk: int = 100_000
    claimers: tuple[int, ...] = (8, 64)
    claims_s: float = 5.0


FULL = Scale()


def run() -> tuple[str, list[Figure]]:
    """Measure at full scale."""
    return WORK, measure(FULL)


def measure(scale: Scale) -> list[Figure]:
    """Measure all rows."""
    return _scattered(scale) + _row_order(scale) + _growth(scale)


def on_postgresql(server: Server) -> tuple[str, list[Figure]]:
    """Measure at full scale, with the store in a database."""
    return ON_POSTGRESQL, measure_on(server, FULL)


def measure_on(server: Server, scale: Scale) -> list[Figure]:
    """Measure what depends on the database, and the loop beside it."""
    name = f"{NAME}-postgresql"
    figures: list[Figure] = []
    rates: list[float] = []
    loops: list[Claims] = []
    with stage(server) as on, on.act() as act:
        play(backlog.scattered(act.url, act.token, scale.jobs, owners=scale.owners))
        figures.append(figure(name, "resident, scattered, queued", _memory(act), "MB"))
        for words, crowd in (
            ("one job a request", scale.singly),
            ("32 a request, scattered", scale.together),
        ):
            trial = play(dispatch(act, crowd))
            rates.append(trial.rate)
            loops.append(_loop(server, scale, workers=1))
            figures += _rows(words, trial, bench=name)
            figures.append(figure(name, f"{words}, central's CPU", trial.cpu_us, "µs/job"))
            if trial.server_us is not None:
                figures.append(figure(name, f"{words}, server's CPU", trial.server_us, "µs/job"))
        figures += _beside_apis(name, on, act, scale)
        others = [
            (f"{some} workers", _loop(server, scale, workers=some)) for some in scale.claimers
        ]
        others.append(("8 workers, 32 at a time", _loop(server, scale, workers=8, at_once=32)))
    for words, one in [("one worker", loops[0]), *others]:
        figures.append(figure(name, f"SKIP LOCKED, {words}", one.rate, "jobs/s"))
        if one.server_us is not None:
            words = f"SKIP LOCKED, {words}, server's CPU"
            figures.append(figure(name, words, one.server_us, "µs/job"))
    return [
        *figures,
        figure(name, "one job a request, to the loop", rates[0] / loops[0].rate, "times"),
        figure(name, "32 a request, to the loop", rates[1] / loops[1].rate, "times"),
    ]


def _beside_apis(name: str, on: Stage, act: Act, scale: Scale) -> list[Figure]:
    """Measure asks with and without two processes that take jobs in and are asked meanwhile."""
    ratios: list[float] = []
    with on.beside(act, "api") as one, on.beside(act, "api") as other:
        for _ in range(PAIRS):
            alone = play(dispatch(act, scale.of_apis)).p99_ms
            ratios.append(play(_with_people(act, scale.of_apis, [one, other])).p99_ms / alone)
    words = "one job a request, beside two apis, p99"
    return [figure(name, words, median(ratios) * 100, "% of alone")]


async def _with_people(act: Act, crowd: Crowd, urls: Sequence[str]) -> Trial:
    async with asyncio.TaskGroup() as tasks:
        people = [tasks.create_task(_submit_and_look(url, act.token)) for url in urls]
        trial = await dispatch(act, crowd)
        for one in people:
            one.cancel()
    return trial


async def _submit_and_look(url: str, token: str) -> None:
    """Submit ten jobs and look at a page of jobs, ten times a second, until cancelled."""
    jobs = [{"command": ["true"], "needs": [{"sites": ["nowhere"]}]}] * 10
    look = request(head("/v1/jobs?limit=50", token, method="GET"))
    for number in itertools.count():
        began = time.perf_counter()
        body = msgspec.json.encode({"jobs": jobs, "key": f"{url}-{began}-{number}"})
        submit = request(head("/v1/submissions", token), body)
        await run_errands(url, [(submit, _not_read), (look, _not_read)], connections=1)
        await asyncio.sleep(max(0.0, began + LOOK_EVERY_S - time.perf_counter()))


def _not_read(_: bytes) -> None:
    """Nobody reads what people are told: it would be our time, not the central's."""


def _loop(server: Server, scale: Scale, *, workers: int, at_once: int = 1) -> Claims:
    with server.schema() as url:
        work = claims(
            server, url, jobs=scale.jobs, workers=workers, at_once=at_once, seconds=scale.claims_s
        )
        return play(work)


def _scattered(scale: Scale) -> list[Figure]:
    with stage() as on:
        with on.act() as act:
            play(backlog.scattered(act.url, act.token, scale.jobs, owners=scale.owners))
            figures = [figure(NAME, "resident, scattered, queued", _memory(act), "MB")]
            singly = play(dispatch(act, scale.singly))
            figures += _rows("one job a request", singly)
            figures.append(
                figure(NAME, "one job a request, central's CPU", singly.cpu_us, "µs/job")
            )
            figures += _rows("32 a request, scattered", play(dispatch(act, scale.together)))
            figures += _beside_a_bulk(act, scale)
        figures.append(_tls(on, scale))
    return figures


def _row_order(scale: Scale) -> list[Figure]:
    with stage() as on, on.act() as act:
        play(backlog.in_row_order(act.url, act.token, scale.jobs))
        memory = figure(NAME, "resident, 10^6 queued", _memory(act), "MB")
        return [memory, *_rows("32 a request, row order", play(dispatch(act, scale.together)))]


def _growth(scale: Scale) -> list[Figure]:
    figures: list[Figure] = []
    for jobs in scale.smaller:
        with stage() as on, on.act() as act:
            owners = min(scale.owners, jobs // 10)
            play(backlog.scattered(act.url, act.token, jobs, owners=owners))
            trial = play(dispatch(act, scale.of_smaller))
        name = f"one job a request, {jobs} rows"
        figures.append(figure(NAME, name, trial.rate, "jobs/s"))
        figures.append(figure(NAME, f"{name}, central's CPU", trial.cpu_us, "µs/job"))
    return figures


def _tls(on: Stage, scale: Scale) -> Figure:
    """Ask centrals that were started alike, the second of three over TLS, and compare."""
    rates: list[float] = []
    for tls in (False, True, False):  # before and after: a machine may change its pace meanwhile
        with on.act(tls=tls) as act:
            rates.append(play(dispatch(act, scale.singly)).rate)
    before, secure, after = rates
    return figure(NAME, "one job a request, TLS", secure / (before + after) * 200, "% of plain")


def _beside_a_bulk(act: Act, scale: Scale) -> list[Figure]:
    """Ask while others submit in bulk."""

    async def both() -> Trial:
        async with backlog.bulks(act.url, act.token, scale.bulk):
            return await dispatch(act, scale.singly)

    return [figure(NAME, "one job a request, beside bulks, p99", play(both()).p99_ms, "ms")]


def _memory(act: Act) -> float:
    return Gauge(act.pid).memory_mb()


def _rows(name: str, trial: Trial, *, bench: str = NAME) -> list[Figure]:
    return [
        figure(bench, name, trial.rate, "jobs/s"),
        figure(bench, f"{name}, p99", trial.p99_ms, "ms"),
    ]
