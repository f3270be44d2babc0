"""The page of results: tables in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Final

from . import starving
from .load import HOUR_S
from .measures import Outcome

INTRO: Final = """\
<!-- Written by `make quality` from tests/simulation/quality: change that, not this page. -->

# Scheduling quality

Compare the shipped matcher (*pilotage*) with two policies, in a discrete event simulation of a week
with the same jobs and pilots. *FIFO* takes the oldest job that fits; *random* draws by priority and
shares. Neither knows scarce demands or reservations. `make quality` writes this page.

- **utilisation**: busy core time divided by usable core time; idle cores count only while a waiting
  job would fit; the goal is 98 %
- **misplaced**: the part of all core time that went to another group, or owner, than its due
- **longest without**: the longest time in which an owner with waiting jobs got nothing
- **longest wait**: from submission to start, or to the end of the simulation
"""


STARVING: Final = """\
## Large jobs beside endless small ones

{pilots} pilots of {cores} cores, 16 GB, 80 GB of scratch and 2 GPUs are filled by one owner's
endless small jobs. Every {every:g} h another owner submits a job that needs all of one amount of a
pilot. All jobs ask for {wall:g} h.

[The promise](reservations.md#the-promise) bounds the wait to {bound:g} h here. *Utilisation* is
that of the amount; the goal is 92 %.

| case | longest wait | utilisation | longest wait without reservations |
|---|---:|---:|---:|
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
    sections = [_section(outcomes, pictures) for outcomes in loads]
    return "\n".join([INTRO, *sections, starved(beside), freed])


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
            _time(its.quantile(1.0)),
            _percent(ours.utilisation_of(amount)),
            _time(other.quantile(1.0)),
        )
        rows.append(f"| {' | '.join(cells)} |\n")
    return intro + "".join(rows)


def summary(outcomes: Sequence[Outcome]) -> str:
    """Return one row a policy."""
    rows = [
        "| policy | utilisation | misplaced, groups | misplaced, owners | longest without "
        "| longest wait |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for outcome in outcomes:
        cells = (
            outcome.policy,
            _percent(outcome.utilisation),
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
