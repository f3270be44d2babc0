"""`make demo SITES=real`: four real sites on this machine fill, suffer and empty again.

python -m tests.real_sites [JOBS]
"""

import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table

from pilotage.central.client import Client
from pilotage.central.operate.demo.local_central import local_central
from pilotage.proto.api.tokens import TokenIssue
from pilotage.proto.job_states import JobState

from .sites import KINDS, PILOTS_MAX, PLEDGES, SETTINGS, missing, real_sites
from .story import Sample, Story, report
from .work import submit

JOBS, SECONDS = 600, 3.0
WITHIN_S, EMPTY_S = 600.0, 60.0
LINE_EVERY_S = 5.0  # where there is no terminal to draw on


def main(jobs: int = JOBS) -> int:
    """Run the demo; return 0 when all jobs that fit are Done."""
    console = Console(highlight=False)
    if lacks := missing():
        console.print("Real sites cannot be started on this machine. What is missing:")
        for line in lacks:
            console.print(f"  {line}", markup=False)
        console.print("`make demo` needs none of it.")
        return 2
    folder = Path(tempfile.mkdtemp(prefix="pilotage-demo-"))
    try:
        with ExitStack() as stack:
            return _show(console, folder, stack, jobs)
    except KeyboardInterrupt:
        console.print("[red]The demo stopped:[/] interrupted")
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _show(console: Console, folder: Path, stack: ExitStack, jobs: int) -> int:
    console.print("Slurm, HTCondor and ARC start, each with keys, ports and folders of its own.")
    sites = stack.enter_context(real_sites(folder, console.print))
    settings = {**SETTINGS, "factory.sites": str(sites.files)}
    central = stack.enter_context(local_central(folder / "data", settings))
    client = stack.enter_context(Client(data=central.data))
    console.print(f"[bold]The central[/] answers at {central.url}. Nobody starts a pilot.")
    people = tuple(
        stack.enter_context(
            Client(
                central.url, client.issue_token(TokenIssue(subject=name, groups=("users",))).token
            )
        )
        for name in ("ada", "bob")
    )
    sites.make_black_hole()
    console.print("On one node of CSCS the software is missing: what starts there fails at once.")
    work = submit(people, jobs, SECONDS, sites.software, sites.tally)
    console.print(
        f"[bold]{len(work.fits)} jobs[/] of ada and bob, and {len(work.fits_not)} that fit nowhere"
    )
    screen = _Screen(console)
    story = Story(sites, central, client, work, tell=screen.tell, look=screen.look)
    with screen:
        outcome = story.run(WITHIN_S)
        story.empty(EMPTY_S)
    for line in report(outcome, work):
        console.print(line, markup=False)
    done = {one.id for one in outcome.jobs if one.state is JobState.DONE}
    return 0 if work.fits <= done else 1


class _Screen:
    """A table that is drawn anew, or a line now and then."""

    def __init__(self, console: Console) -> None:
        self._console, self._told_s = console, -LINE_EVERY_S
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> None:
        if self._live is not None:
            self._live.start()

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def tell(self, line: str) -> None:
        self._console.print(line, markup=False)

    def look(self, sample: Sample) -> None:
        if self._live is not None:
            self._live.update(_table(sample), refresh=True)
        elif sample.at_s >= self._told_s + LINE_EVERY_S:
            self._told_s = sample.at_s
            pilots = ", ".join(f"{site} {sample.alive[site]}" for site in PLEDGES)
            self._console.print(f"{sample.at_s:5.1f} s  pilots: {pilots}; {_jobs(sample)}")


def _jobs(sample: Sample) -> str:
    return ", ".join(f"{count} {state.value}" for state, count in sorted(sample.states.items()))


def _table(sample: Sample) -> Table:
    table = Table(title=f"{sample.at_s:.0f} s  {_jobs(sample)}", title_justify="left", min_width=72)
    for column in ("site", "kind", "pledge", "queued", "pilots", "most", "alive", "trouble"):
        table.add_column(
            column, justify="left" if column in ("site", "kind", "trouble") else "right"
        )
    for site in PLEDGES:
        known = (
            "?" if one is None else str(one) for one in (sample.queued[site], sample.held[site])
        )
        table.add_row(
            *(site, KINDS[site], str(PLEDGES[site]), *known, str(PILOTS_MAX[site])),
            str(sample.alive[site]),
            sample.troubles[site][:60],
        )
    return table


if __name__ == "__main__":
    sys.exit(main(*(int(word) for word in sys.argv[1:2])))
