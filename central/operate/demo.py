"""`pilotage demo`: a central, pilots of different make at four sites, a campaign, its faults.

It needs Python alone. What else is missing on the machine it says in a line, and goes on without.
"""

import shutil
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table

from pilotage.proto.job_states import JobState
from pilotage.proto.pilot_states import PilotState

from ..client import Client
from . import campaign
from .local import (
    LocalCentral,
    LocalPilot,
    NotRunning,
    end,
    local_central,
    start_pilot,
    wait_for_pilots,
)
from .pilot import PilotPlan

LEASE_S = 15
REDRAW_S = 0.4


@dataclass(frozen=True)
class Make:
    """A pilot on paper: what its site's node would have."""

    site: str
    element: str
    cores: int
    memory_mb: int
    tags: tuple[str, ...]
    os: str


MAKES = (
    Make("PIC", "htcondor", 4, 8_000, ("cvmfs:ctao",), "el9"),
    Make("CSCS", "slurm", 6, 16_000, ("cvmfs:ctao", "whole-node"), "el9"),
    Make("DESY-Zeuthen", "htcondor", 4, 8_000, ("cvmfs:ctao", "ssd"), "debian13"),
    Make("INAF-Frascati", "arc", 2, 4_000, (), "el8"),
)


class DemoFailed(Exception):
    """The demo did not come to its end; the message says where."""


def main(*, keep: bool = False, data: Path | None = None) -> int:
    """Run the demo; return 0 when the result is right."""
    console = Console(highlight=False)
    folder = data or Path(tempfile.mkdtemp(prefix="pilotage-demo-"))
    try:
        with ExitStack() as stack:
            settings = {"lease.lease_s": str(LEASE_S)}
            central = stack.enter_context(local_central(folder, settings, keep=keep))
            return _show(console, central, stack, keep=keep)
    except (DemoFailed, NotRunning, KeyboardInterrupt) as why:
        console.print(f"[red]The demo stopped:[/] {why or 'interrupted'}")
        return 1
    finally:
        if not keep and data is None:
            shutil.rmtree(folder, ignore_errors=True)


def _show(console: Console, central: LocalCentral, stack: ExitStack, *, keep: bool) -> int:
    folder = central.data
    client = stack.enter_context(Client(data=folder))
    health = client.health()
    console.print(f"[bold]The central[/] answers at {central.url}, its data is in {folder}")
    console.print(f"Leases last {LEASE_S} s here instead of 120 s, so that the demo is short.")
    console.print(f"Beats travel over {health.bus}.")
    pilots = _start_pilots(client, central)
    if not keep:
        stack.callback(_end_pilots, pilots)
    isolations = sorted({pilot.isolation for pilot in client.pilots(states=[PilotState.RUNNING])})
    console.print(
        f"[bold]{len(pilots)} pilots[/] registered; payloads run in: {', '.join(isolations)}"
    )
    if isolations == ["session"]:
        console.print("  No namespaces here: payloads run in plain sessions.")
    jobs = campaign.submit(client)
    console.print(
        f"[bold]{len(jobs.runs) + 2} jobs[/] submitted: {len(jobs.runs)} runs, one that fails "
        "once, one that fits no pilot"
    )
    counts = _watch(console, client, jobs, pilots)
    if counts.get(JobState.DONE, 0) != len(jobs.all_that_can_run):
        raise DemoFailed(f"not all jobs are Done: {counts}")
    _tell_faults(console, client, jobs)
    merged = campaign.merge(client, jobs)
    view = merged.wait(60)
    if view.state is not JobState.DONE:
        raise DemoFailed(f"the merge is {view.state.value}: {view.reason}")
    found = campaign.result(merged)
    verdict = "[green]right[/]" if found.right else "[red]wrong[/]"
    console.print(
        f"[bold]Result[/]: spectral index {found.index:.4f} ± {found.error:.4f} from "
        f"{found.runs} runs, {found.events} events; {campaign.TRUE_INDEX} was put in "
        f"({found.sigmas:.1f} σ): {verdict}"
    )
    _goodbye(console, central, jobs, keep=keep)
    return 0 if found.right else 1


def _start_pilots(client: Client, central: LocalCentral) -> list[LocalPilot]:
    pilots = [
        start_pilot(
            client,
            central,
            make.site,
            make.element,
            PilotPlan(cores=make.cores, memory_mb=make.memory_mb, tags=make.tags, os=make.os),
        )
        for make in MAKES
    ]
    wait_for_pilots(client, pilots)
    return pilots


def _end_pilots(pilots: list[LocalPilot]) -> None:
    for pilot in pilots:
        if pilot.process.poll() is None:
            pilot.process.terminate()  # all at once; `end` waits for each
    for pilot in pilots:
        end(pilot.process)


# -- what a person sees -------------------------------------------------------------------------


def _watch(
    console: Console,
    client: Client,
    jobs: campaign.Submitted,
    pilots: list[LocalPilot],
) -> dict[JobState, int]:
    """Show progress by site; kill one pilot on the way."""
    killed = ""
    with Live(console=console, auto_refresh=False, transient=False) as live:

        def look(counts: dict[JobState, int]) -> None:
            nonlocal killed
            done = counts.get(JobState.DONE, 0)
            if not killed and done >= len(jobs.runs) // 4:
                killed = _kill_one(client, pilots)
            live.update(_table(client, counts, killed), refresh=True)
            time.sleep(REDRAW_S)

        counts = campaign.wait(client, jobs, look)
    if not console.is_terminal:
        console.print()  # in a pipe the table comes without the end of its last line
    return counts


def _kill_one(client: Client, pilots: list[LocalPilot]) -> str:
    """kill -9 the pilot that holds most; its jobs must run elsewhere."""
    held = [pilot for pilot in client.pilots(states=[PilotState.RUNNING]) if pilot.attempts]
    if not held:
        return ""
    victim = max(held, key=lambda pilot: pilot.attempts)
    process = next(pilot.process for pilot in pilots if pilot.id == victim.id)
    process.kill()
    process.wait()
    return f"{victim.id} ({victim.attempts} jobs on it)"


def _table(client: Client, counts: dict[JobState, int], killed: str) -> Table:
    table = Table(title=_headline(counts, killed), title_justify="left", min_width=64)
    for column in ("site", "pilots", "cores", "running", "done", "failed"):
        table.add_column(column, justify="left" if column == "site" else "right")
    for site in client.sites().sites:
        cells = (site.pilots, site.cores, site.running, site.done, site.failed)
        table.add_row(site.site, *(str(cell) for cell in cells))
    return table


def _headline(counts: dict[JobState, int], killed: str) -> str:
    states = ", ".join(f"{count} {state.value}" for state, count in sorted(counts.items()))
    return states + (f"\nkill -9 of pilot {killed}" if killed else "")


def _tell_faults(console: Console, client: Client, jobs: campaign.Submitted) -> None:
    failed = jobs.failing_once.view()
    console.print(
        f"Job {failed.id} failed once and was retried: "
        f"attempt {failed.epoch} is {failed.state.value}"
    )
    again = [job for job in client.search() if job.losses > 0]
    if again:
        console.print(
            f"{len(again)} jobs of the killed pilot ran elsewhere after its lease, e.g. job "
            f"{again[0].id}: attempt {again[0].epoch} at {again[0].site}"
        )
    console.print(f"Job {jobs.fitting_nowhere.id} waits, and this is why:")
    for line in campaign.why_it_waits(jobs.fitting_nowhere.explain()):
        console.print(f"  {line}", markup=False)


def _goodbye(
    console: Console, central: LocalCentral, jobs: campaign.Submitted, *, keep: bool
) -> None:
    if not keep:
        console.print("Everything is stopped. `pilotage demo --keep` leaves it running.")
        return
    console.print("It goes on running. To look around:")
    job = jobs.failing_once.id
    console.print(f"  export PILOTAGE_DATA={central.data}", markup=False)
    for words in (
        "summary --by site",
        f"status {job}",
        f"logs {job}",
        f"explain {jobs.fitting_nowhere.id}",
        "pilot list",
        "submit -- echo hello",
    ):
        console.print(f"  pilotage {words}", markup=False)
    console.print("To end it:")
    console.print("  pilotage pilot drain --all")
    console.print(f"  kill {central.running.pid}   # once `pilotage pilot list` is empty")
