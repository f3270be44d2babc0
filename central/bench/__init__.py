"""`pilotage bench NAME`: seeded work, real parts, figures beside their goals."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import msgspec

from .figures import Figure, Report
from .machine import Watch
from .render import as_table, into_page

NAMES = (
    "submit",
    "catalogue",
    "transformations",
    "latency",
    "noop",
    "pilot",
    "status",
    "matcher",
    "dispatch",
    "life",
    "rebuild",
    "heartbeats",
    "day",
    "factory",
)


def main(name: str, *, json: bool = False, against: str = "", write: Path | None = None) -> int:
    """Run one bench or `all`; return 1 when a goal is missed, 2 for an unknown name."""
    if name != "all" and name not in NAMES:
        print(f"bench: there is no {name!r}; known are all, {', '.join(NAMES)}", file=sys.stderr)
        return 2
    if against not in ("", "hyperqueue"):
        print(f"bench: --against {against!r}: only hyperqueue is known", file=sys.stderr)
        return 2
    reports = [run(one, against=against) for one in (NAMES if name == "all" else (name,))]
    for report in reports:
        if json:
            sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
        else:
            as_table(report)
    if write is not None:
        into_page(write, reports)
    return 0 if all(report.good for report in reports) else 1


def run(name: str, *, against: str = "") -> Report:
    """Run one bench."""
    watch = Watch()
    module = import_module(f".{name}", __name__)
    measure: Callable[[], tuple[str, list[Figure]]] = module.run
    work, figures = measure()
    if name == "noop" and against:
        figures += _peer(figures)
    bound: str = getattr(module, "BOUND", "")
    machine = watch.machine()
    return Report(bench=name, machine=machine, work=work, figures=figures, bound=bound)


def _peer(figures: list[Figure]) -> list[Figure]:
    from . import hyperqueue
    from .noop import JOBS

    ours = next(one.value for one in figures if one.name == "plain rung")
    try:
        return hyperqueue.figures(ours, JOBS)
    except hyperqueue.NoPeer as why:
        print(f"bench: HyperQueue cannot be run here: {why}", file=sys.stderr)
        return []
