"""The demo's display: the places of the jobs, and the kill of a pilot."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.table import Table

from pilotage.proto.api.jobs import JobView
from pilotage.proto.api.pilots import PilotView
from pilotage.proto.job_states import JobState
from pilotage.proto.pilot_states import LIVING, PilotState

from ...client import Client
from . import campaign
from .campaign import counted
from .local_central import LocalPilot

REDRAW_S = 0.4
LINE_EVERY = 25  # jobs between two lines, if there is no terminal
ACTIVE = (JobState.MATCHED, JobState.RUNNING)


@dataclass(frozen=True)
class KilledPilot:
    """The killed pilot, and the jobs that it had then, each with its attempt."""

    pilot: str
    held: dict[int, int]

    def sentence(self) -> str:
        return f"kill -9 of pilot {self.pilot} with {counted(len(self.held), 'job')} on it"

    def fate(self, views: Sequence[JobView]) -> str:
        """Return what happened to these jobs, in a sentence."""
        mine = [view for view in views if view.id in self.held]
        again = [view for view in mine if view.epoch > self.held[view.id]]
        words = f"Of the {counted(len(mine), 'job')} on the killed pilot {len(again)} ran elsewhere"
        if again:
            one = again[0]
            words += f" after the lease (job {one.id}: attempt {one.epoch} at {one.site})"
        before = len(mine) - len(again)
        return f"{words}, {before} had ended before." if before else f"{words}."


class DemoWatch:
    """Shows progress by site, and kills one pilot on the way."""

    def __init__(
        self, console: Console, client: Client, pilots: Sequence[LocalPilot], *, kill_at: int
    ) -> None:
        self._console, self._client, self._pilots = console, client, pilots
        self._kill_at = kill_at
        self._reported = 0
        self.killed: KilledPilot | None = None

    def run(self, jobs: campaign.CampaignJobs) -> dict[JobState, int]:
        """Watch until all jobs that can run have ended; return the counts."""
        if not self._console.is_terminal:
            counts = campaign.wait(self._client, jobs, self._tell)
            self._console.print(self._table())
            return counts
        with Live(console=self._console, auto_refresh=False, transient=False) as live:

            def draw(counts: dict[JobState, int]) -> None:
                self._kill_in_time(counts)
                live.update(self._table(counts), refresh=True)
                time.sleep(REDRAW_S)

            return campaign.wait(self._client, jobs, draw)

    def _tell(self, counts: dict[JobState, int]) -> None:
        """Print a line now and then, for a file or a pipe."""
        done = counts.get(JobState.DONE, 0)
        if done >= self._reported + LINE_EVERY:
            self._reported = done - done % LINE_EVERY
            self._console.print(_in_words(counts))
        if self._kill_in_time(counts) and self.killed is not None:
            self._console.print(self.killed.sentence())
        time.sleep(REDRAW_S)

    def _kill_in_time(self, counts: dict[JobState, int]) -> bool:
        """Kill the pilot with the most jobs by kill -9; its jobs must run elsewhere."""
        if self.killed is not None or counts.get(JobState.DONE, 0) < self._kill_at:
            return False
        held = [one for one in self._client.pilots(states=[PilotState.RUNNING]) if one.attempts]
        if not held:
            return False
        victim = max(held, key=lambda pilot: pilot.attempts)
        process = next(pilot.process for pilot in self._pilots if pilot.id == victim.id)
        process.kill()
        process.wait()
        # Ask after the kill: the answer does not change until the lease is over.
        on_it = {
            view.id: view.epoch
            for view in self._client.search()
            if view.pilot == victim.id and view.state in ACTIVE
        }
        self.killed = KilledPilot(victim.id, on_it)
        return True

    def _table(self, counts: dict[JobState, int] | None = None) -> Table:
        title = _in_words(counts) if counts else None
        if title and self.killed is not None:
            title += f"\n{self.killed.sentence()}"
        table = Table(title=title, title_justify="left", min_width=64)
        for column in ("site", "pilots", "cores", "running", "wait for the lease", "done"):
            table.add_column(column, justify="left" if column == "site" else "right")
        pilots = list(self._client.pilots(states=LIVING))
        dead = self.killed.pilot if self.killed else ""
        for row in by_site(pilots, list(self._client.search()), dead):
            table.add_row(*(str(cell) for cell in row))
        return table


def by_site(
    pilots: Sequence[PilotView], views: Sequence[JobView], dead: str
) -> list[tuple[str, int, int, int, int, int]]:
    """Return for each site: living pilots, their cores, and jobs that run, wait or are done.

    Jobs of the dead pilot count as waiting until its lease is over.
    """
    living = [pilot for pilot in pilots if pilot.id != dead]
    alive = Counter(pilot.site for pilot in living)
    cores: Counter[str] = Counter()
    for pilot in living:
        cores[pilot.site] += pilot.cores
    active = [view for view in views if view.state in ACTIVE]
    running = Counter(view.site for view in active if view.pilot != dead)
    orphaned = Counter(view.site for view in active if view.pilot == dead)
    done = Counter(view.site for view in views if view.state is JobState.DONE)
    sites = sorted({pilot.site for pilot in pilots} | {view.site for view in views if view.site})
    return [(s, alive[s], cores[s], running[s], orphaned[s], done[s]) for s in sites]


def _in_words(counts: dict[JobState, int]) -> str:
    return ", ".join(f"{count} {state.value}" for state, count in sorted(counts.items()))
