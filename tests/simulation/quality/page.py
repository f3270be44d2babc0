"""The page of results: tables in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Final

from . import starving
from .load import HOUR_S
from .measures import Outcome

INTRO: Final = """\
<!-- Written by `make quality` from tests/simulation/quality: change that, not this page. -->

# Scheduling quality

How well does the matcher distribute a week of work? This page compares three policies in a discrete
event simulation, on the same jobs and pilots:

- *pilotage*: the shipped `Matcher`, through its public calls;
- *FIFO*: the oldest job that fits;
- *random*: a random class, in proportion to its priority, its owner's part and its group's share.

Pilots ask, park, are woken and end. Jobs come in bursts, and most end before their requested time.
FIFO and random know neither scarce demands nor reservations.

`make quality` repeats the simulation and writes this page. A smaller one runs with every test:
`tests/simulation/quality/test_quality.py`.

| figure | meaning |
|---|---|
"""

FIGURES: Final = {
    "utilisation": "busy core time divided by usable core time; idle cores count only while a "
    "waiting job would fit; the goal is 98 %",
    "occupancy": "busy core time divided by all core time of pilots",
    "misplaced": "the part of all core time that went to another group, or owner, than its due. "
    "Due: all core time of each four hours, shared by weight among those with waiting work",
    "longest without": "the longest time in which an owner with waiting jobs got nothing",
    "wait": "from submission to start, or to the end of the simulation",
}


STARVING: Final = """\
## Large jobs beside endless small ones

Each case has {pilots} pilots of {cores} cores, 16 GB, 80 GB of scratch and 2 GPUs, which outlive
the simulation. One owner's endless small jobs fill one of these amounts. Every {every:g} h another
owner submits a large job that needs all of that amount on a pilot. The last case has a large job of
each kind, and one for a whole node. All jobs ask for {wall:g} h.

[The promise](reservations.md#the-promise) bounds the wait to {bound:g} h here, from submission,
since the large jobs use little of their share. *Utilisation* is that of the amount; the goal is
92 %.

| case | large jobs | longest wait | utilisation | without reservations: started, longest wait |
|---|---:|---:|---:|---:|
"""


def page(
    loads: Sequence[Sequence[Outcome]],
    pictures: Mapping[str, str],
    beside: Sequence[tuple[Outcome, Outcome]],
    freed: str,
) -> str:
    """Return the page for outcomes of several loads, each under the same policies.

    `beside`: the cases of large jobs beside small ones, each with and without reservations.
    `freed`: the section about owners that were kept from their turn.
    """
    figures = "".join(f"| {name} | {meaning} |\n" for name, meaning in FIGURES.items())
    sections = [_section(outcomes, pictures) for outcomes in loads]
    return "\n".join([INTRO + figures, *sections, starved(beside), freed])


def starved(beside: Sequence[tuple[Outcome, Outcome]]) -> str:
    """Return the section of large jobs beside small ones."""
    intro = STARVING.format(
        pilots=starving.PILOTS,
        cores=beside[0][0].load.shapes[0].offer.cores,
        every=starving.EVERY_S / HOUR_S,
        wall=starving.WALL_S / HOUR_S,
        bound=starving.BOUND_S / HOUR_S,
    )
    rows: list[str] = []
    for ours, without in beside:
        name, its, other = ours.load.name, ours.waits["large"], without.waits["large"]
        amount = starving.CASES[name].amount
        cells = (
            name,
            str(its.started + its.waiting),
            _time(its.quantile(1.0)),
            _percent(ours.utilisation_of(amount)),
            f"{other.started}, {_time(other.quantile(1.0))}",
        )
        rows.append(f"| {' | '.join(cells)} |\n")
    return intro + "".join(rows)


def summary(outcomes: Sequence[Outcome]) -> str:
    """Return one row a policy."""
    rows = [
        "| policy | jobs started | utilisation | occupancy | misplaced, groups | misplaced, owners "
        "| longest without | longest wait |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for outcome in outcomes:
        cells = (
            outcome.policy,
            str(outcome.started),
            _percent(outcome.utilisation),
            _percent(outcome.occupancy),
            _percent(outcome.share_error_groups),
            _percent(outcome.share_error_owners),
            _time(outcome.longest_dry_s),
            _time(outcome.longest_wait_s),
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _section(outcomes: Sequence[Outcome], pictures: Mapping[str, str]) -> str:
    load = outcomes[0].load
    jobs = sum(arrival.jobs for arrival in load.arrivals)
    owners = len({(known.spec.group, known.spec.owner) for known in load.classes.values()})
    sites = len({shape.offer.site for shape in load.shapes})
    about = (
        f"{load.length_s / 86_400:g} days, {load.cores} cores in pilots of "
        f"{', '.join(map(str, sorted({shape.offer.cores for shape in load.shapes})))} cores at "
        f"{sites} sites;\n{jobs} jobs in {len(load.classes)} classes of {owners} owners; "
        f"seed {load.seed}."
    )
    return "\n".join(
        [
            f"## {load.name}\n",
            f"{about}\n",
            summary(outcomes),
            f"![Parts of the groups over time, and waits by kind of job]({pictures[load.name]})\n",
        ]
    )


def _percent(part: float) -> str:
    return f"{100 * part:.1f} %"


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < HOUR_S:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / HOUR_S:.1f} h"
