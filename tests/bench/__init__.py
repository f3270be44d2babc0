"""`pilotage bench NAME`: seeded work, real parts, figures beside their goals."""

import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path

import msgspec

from pilotage.central.settings import BadSetting

from .figures import Figure, Report
from .load.backing import NoServer, Server, server_of
from .machine import Watch
from .render import as_table, into_page

NAMES = (
    "submit",
    "catalogue",
    "transformations",
    "cleaning",
    "cwl",
    "latency",
    "noop",
    "pilot",
    "status",
    "surface",
    "matcher",
    "dispatch",
    "life",
    "rebuild",
    "heartbeats",
    "day",
    "factory",
    "identity",
    "data",
)
ON_POSTGRESQL = ("dispatch", "life", "rebuild", "cleaning")


def main(
    names: Sequence[str],
    *,
    json: bool = False,
    against: str = "",
    write: Path | None = None,
    store: str = "",
) -> int:
    """Run benches, or `all`; return 1 when a goal is missed, 2 for what cannot be run."""
    known = ON_POSTGRESQL if store else NAMES
    if unknown := [name for name in names if name not in (*known, "all")]:
        which = f"there is no {unknown[0]!r}{' with --store' if store else ''}"
        print(f"bench: {which}; known are all, {', '.join(known)}", file=sys.stderr)
        return 2
    if against not in ("", "hyperqueue"):
        print(f"bench: --against {against!r}: only hyperqueue is known", file=sys.stderr)
        return 2
    chosen = known if "all" in names else tuple(names)
    try:
        reports = list(_reports(chosen, against, store))
    except (NoServer, BadSetting) as why:
        print(f"bench: --store {store}: {why}", file=sys.stderr)
        return 2
    for report in reports:
        if json:
            sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
        else:
            as_table(report)
    if write is not None:
        into_page(write, reports)
    return 0 if all(report.good for report in reports) else 1


def _reports(names: Sequence[str], against: str, store: str) -> Iterator[Report]:
    if not store:
        yield from (run(name, against=against) for name in names)
        return
    for name in names:
        watch = Watch()  # begun before the server is, which is ours too
        with server_of(store) as server:
            yield run_on(name, server, watch)


def run_on(name: str, server: Server, watch: Watch) -> Report:
    """Run one bench with its store on a server."""
    module = import_module(f".{name}", __name__)
    measure: Callable[[Server], tuple[str, list[Figure]]] = module.on_postgresql
    work, figures = measure(server)
    return Report(
        bench=name,
        machine=watch.machine(),
        work=f"{work} Its settings: {server.settings}." if server.settings else work,
        figures=figures,
        bound=module.BOUND_ON_POSTGRESQL,
        store=server.version(),
    )


def run(name: str, *, against: str = "") -> Report:
    """Run one bench."""
    watch = Watch()
    module = import_module(f".{name}", __name__)
    measure: Callable[[], tuple[str, list[Figure]]] = module.run
    work, figures = measure()
    if name in ("noop", "surface") and against:
        figures += _peer(name, figures)
    bound: str = getattr(module, "BOUND", "")
    machine = watch.machine()
    return Report(bench=name, machine=machine, work=work, figures=figures, bound=bound)


def _peer(name: str, figures: list[Figure]) -> list[Figure]:
    from . import hyperqueue
    from .noop import JOBS
    from .surface import against_hyperqueue

    try:
        if name == "surface":
            return against_hyperqueue(figures)
        ours = next(one.value for one in figures if one.name == "plain rung")
        return hyperqueue.figures(ours, JOBS)
    except hyperqueue.NoPeer as why:
        print(f"bench: HyperQueue cannot be run here: {why}", file=sys.stderr)
        return []
