"""The page of results: tables in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Final

from . import starving
from .load import HOUR_S
from .measures import Outcome

INTRO: Final = """\
<!-- Written by `make quality` from tests/simulation/quality: change that, not this page. -->

# Scheduling quality

How well the matcher hands out a week of work, in a simulation of events: the shipped `Matcher`
through its public calls, pilots that ask, park, are woken and end, jobs that come in bursts and
mostly end before the time they asked for. Beside it two plain ways to pick, on the same jobs and
pilots: *FIFO* takes the oldest job that fits, *random* a class at random in proportion to its
priority and its part of its owner's part of the group's share, as a queue does that keeps shares
by chance. Both use the exact rule and fill pilots greedily; they know neither scarce demands nor
reservations.

`make quality` runs it anew, in about a minute, and writes this page. A smaller one, with goals,
stands in the gate: `tests/simulation/quality/test_quality.py`.

| figure | what it is |
|---|---|
"""

FIGURES: Final = {
    "utilisation": "busy core time in what could have been busy: an idle core counts while a "
    "waiting job would fit there; the goal is 98 %",
    "occupancy": "busy core time in all core time of pilots: what no waiting job fits (the last "
    "hours of a pilot, a night without work) is idle too",
    "misplaced": "the part of all core time that went to another group, or owner, than it was due "
    "to; due is what all got, shared out by weight in every four hours among those who have work "
    "left, level by level, so that who comes later has saved up nothing",
    "longest without": "the longest time that an owner with waiting jobs got nothing",
    "wait": "from submission to the start; jobs that wait at the end count with what they have "
    "waited",
}


STARVING: Final = """\
## Large jobs beside endless small ones

Each case has {pilots} pilots of {cores} cores, 16 GB, 80 GB of scratch and 2 GPUs. They live longer
than the simulation. One owner always has small jobs waiting, which fill one of these amounts. Every
{every:g} h another owner submits a large job that needs all of that amount of a pilot. In the last
case there is a large job of each kind and one for a whole node. All jobs ask for {wall:g} h.

The promise: a class that fits an empty pilot starts within three times the longest wall time of the
jobs ahead of it, counted from its turn. That is {bound:g} h here. *Its turn* has come when neither
its owner nor the owner's group is further ahead by share than reservations allow (see *Wide jobs*
in [matching](matching.md#order)). The large jobs here use so little that their turn comes when they
are submitted. *Utilisation* is that of the amount in question, measured as above; the goal is 92 %.

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


def waits(outcomes: Sequence[Outcome]) -> str:
    """Return one row a kind of job: median, 95 % and longest wait under each policy."""
    names = [outcome.policy for outcome in outcomes]
    rows = [
        f"| kind | jobs | {' | '.join(f'{name}: median, 95 %, longest' for name in names)} "
        f"| still waiting ({', '.join(names)}) |",
        f"|---|---:|{'---|' * len(names)}---|",
    ]
    for kind, known in outcomes[0].waits.items():
        cells = [kind, str(known.started + known.waiting)]
        for outcome in outcomes:
            quantiles = (outcome.waits[kind].quantile(part) for part in (0.5, 0.95, 1.0))
            cells.append(", ".join(map(_time, quantiles)))
        cells.append(", ".join(str(outcome.waits[kind].waiting) for outcome in outcomes))
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def groups(outcomes: Sequence[Outcome]) -> str:
    """Return one row a group: its weight, what it wanted, and due and got under each policy."""
    load = outcomes[0].load
    names = " | ".join(f"{outcome.policy}: due, got" for outcome in outcomes)
    rows = [f"| group | share | wanted | {names} |", f"|---|---:|---:|{'---:|' * len(outcomes)}"]
    wanted = outcomes[0].by_group(outcomes[0].wanted_core_s)
    dues = [outcome.by_group(outcome.due_core_s()) for outcome in outcomes]
    gots = [outcome.by_group(outcome.got_core_s) for outcome in outcomes]
    for group in sorted(wanted):
        cells = [group, f"{load.weight(load.community, group):g}", _core_h(wanted[group])]
        cells += [
            f"{_core_h(due[group])}, {_core_h(got.get(group, 0.0))}"
            for due, got in zip(dues, gots, strict=True)
        ]
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
        f"{sites} sites; {jobs} jobs in {len(load.classes)} classes of {owners} owners; "
        f"seed {load.seed}. Core time in thousands of core hours."
    )
    return "\n".join(
        [
            f"## {load.name}\n",
            f"{about}\n",
            summary(outcomes),
            f"![Parts of the groups over time, and waits]({pictures[load.name]})\n",
            waits(outcomes),
            groups(outcomes),
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


def _core_h(core_s: float) -> str:
    return f"{core_s / HOUR_S / 1000:.1f}"
