"""The whole life of jobs that run nothing: match, start, end and its output, each durable."""

from dataclasses import dataclass

from .figures import Figure, figure
from .load import backlog
from .load.backing import Server
from .load.stage import play, stage
from .load.trials import Crowd, Trial, life

NAME = "life"
WORK = (
    "Simulated pilots run whole job lives without payloads: an ask, a report of the start, and a "
    "turn with the end and one output. Otherwise as in `dispatch`."
)
BOUND = (
    "The interpreter is the limit. In batches the dispatch takes three fifths of the CPU, the "
    "writer the rest."
)

ON_POSTGRESQL = "The same load; PostgreSQL shares two cores with the central and the load."
BOUND_ON_POSTGRESQL = "The two cores are the limit."


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    jobs: int = 1_000_000
    owners: int = backlog.OWNERS
    smaller: tuple[int, ...] = (10_000, 100_000)
    together: Crowd = Crowd(pilots=8, connections=8, jobs_max=32, rounds=400)
    singly: Crowd = Crowd(pilots=64, connections=64, jobs_max=1, rounds=500)
    of_smaller: Crowd = Crowd(pilots=8, connections=8, jobs_max=32, rounds=35)


FULL = Scale()


def run() -> tuple[str, list[Figure]]:
    """Measure at full scale."""
    return WORK, measure(FULL)


def measure(scale: Scale) -> list[Figure]:
    """Measure all rows."""
    figures: list[Figure] = []
    with stage() as on:
        with on.act() as act:
            play(backlog.scattered(act.url, act.token, scale.jobs, owners=scale.owners))
            together, singly = play(life(act, scale.together)), play(life(act, scale.singly))
            figures += _rows("batches of 32, scattered", together)
            figures += _rows("one at a time, scattered", singly)
        with on.act(tls=True) as act:
            secure = [play(life(act, crowd)) for crowd in (scale.together, scale.singly)]
        with on.act() as act:  # before and after, since a machine may change its pace meanwhile
            again = [play(life(act, crowd)) for crowd in (scale.together, scale.singly)]
        for words, *trials in (
            ("batches of 32", secure[0], together, again[0]),
            ("one at a time", secure[1], singly, again[1]),
        ):
            figures.append(figure(NAME, f"{words}, TLS", _share(*trials), "% of plain"))
    with stage() as on, on.act() as act:
        play(backlog.in_row_order(act.url, act.token, scale.jobs))
        figures += _rows("batches of 32, row order", play(life(act, scale.together)))
    for jobs in scale.smaller:
        with stage() as on, on.act() as act:
            owners = min(scale.owners, jobs // 10)
            play(backlog.scattered(act.url, act.token, jobs, owners=owners))
            figures += _rows(f"batches of 32, {jobs} rows", play(life(act, scale.of_smaller)))
    return figures


def on_postgresql(server: Server) -> tuple[str, list[Figure]]:
    """Measure at full scale, with the store in a database."""
    return ON_POSTGRESQL, measure_on(server, FULL)


def measure_on(server: Server, scale: Scale) -> list[Figure]:
    """Measure what depends on the database."""
    name = f"{NAME}-postgresql"
    figures: list[Figure] = []
    with stage(server) as on, on.act() as act:
        play(backlog.scattered(act.url, act.token, scale.jobs, owners=scale.owners))
        for words, crowd in (
            ("batches of 32, scattered", scale.together),
            ("one at a time, scattered", scale.singly),
        ):
            trial = play(life(act, crowd))
            figures += _rows(words, trial, bench=name)
            if trial.server_us is not None:
                figures.append(figure(name, f"{words}, server's CPU", trial.server_us, "µs/job"))
    return figures


def _share(secure: Trial, before: Trial, after: Trial) -> float:
    """Return the rate over TLS as a percentage of the one without."""
    return secure.rate / (before.rate + after.rate) * 200


def _rows(name: str, trial: Trial, *, bench: str = NAME) -> list[Figure]:
    return [
        figure(bench, name, trial.rate, "jobs/s"),
        figure(bench, f"{name}, central's CPU", trial.cpu_us, "µs/job"),
    ]
