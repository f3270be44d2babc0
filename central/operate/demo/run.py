"""`pilotage demo`: a central, different pilots at four sites, a campaign, and faults.

It needs Python alone. If another program is missing on the machine, it prints that and
continues without it.
"""

import shlex
import shutil
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from pilotage.proto.job_states import JobState
from pilotage.proto.pilot_states import PilotState

from ...client import Client
from ..local_pilots import PilotPlan
from . import campaign
from .campaign import counted
from .display import DemoWatch
from .local_central import (
    LocalCentral,
    LocalPilot,
    NotRunning,
    end,
    local_central,
    start_pilot,
    wait_for_pilots,
)

LEASE_S = 15
SILENT_PILOT_S = 30  # the killed pilot leaves the lists after this


@dataclass(frozen=True)
class PaperNode:
    """A simulated pilot: the hardware that its site's node would have."""

    site: str
    element: str
    cores: int
    memory_mb: int
    tags: tuple[str, ...]
    os: str


MAKES = (
    PaperNode("PIC", "htcondor", 4, 8_000, ("cvmfs:ctao",), "el9"),
    PaperNode("CSCS", "slurm", 6, 16_000, ("cvmfs:ctao", "whole-node"), "el9"),
    PaperNode("DESY-Zeuthen", "htcondor", 4, 8_000, ("cvmfs:ctao", "ssd"), "debian13"),
    PaperNode("INAF-Frascati", "arc", 2, 4_000, (), "el8"),
)


class DemoFailed(Exception):
    """The demo stopped early; the message says where."""


def main(*, keep: bool = False, data: Path | None = None) -> int:
    """Run the demo; return 0 if the result is right."""
    console = Console(highlight=False)
    folder = data or Path(tempfile.mkdtemp(prefix="pilotage-demo-"))
    try:
        with ExitStack() as stack:
            settings = {
                "lease.lease_s": str(LEASE_S),
                "lease.silent_pilot_s": str(SILENT_PILOT_S),
            }
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
    console.print(f"Heartbeats use {health.bus}.")
    pilots = _start_pilots(client, central)
    if not keep:
        stack.callback(_end_pilots, pilots)
    isolations = sorted({pilot.isolation for pilot in client.pilots(states=[PilotState.RUNNING])})
    console.print(
        f"[bold]{counted(len(pilots), 'pilot')}[/] registered; "
        f"payloads run in: {', '.join(isolations)}"
    )
    if isolations == ["session"]:
        console.print("  No namespaces here: payloads run in plain sessions.")
    jobs = campaign.submit(client)
    console.print(
        f"[bold]{counted(len(jobs.runs) + 2, 'job')}[/] submitted: "
        f"{counted(len(jobs.runs), 'run')}, one that fails "
        "once, one that fits no pilot"
    )
    watch = DemoWatch(console, client, pilots, kill_at=len(jobs.runs) // 4)
    counts = watch.run(jobs)
    if counts.get(JobState.DONE, 0) != len(jobs.all_that_can_run):
        raise DemoFailed(f"not all jobs are Done: {counts}")
    if watch.killed is not None:
        console.print(watch.killed.fate(list(client.search())))
    _tell_faults(console, jobs)
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
            PilotPlan(
                told={
                    "cores": make.cores,
                    "overcommit": True,  # four sites share this machine
                    "memory_mb": make.memory_mb,
                    "tags": make.tags,
                    "os": make.os,
                }
            ),
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


# -- what a person reads afterwards -------------------------------------------------------------


def _tell_faults(console: Console, jobs: campaign.CampaignJobs) -> None:
    failed = jobs.failing_once.view()
    console.print(
        f"Job {failed.id} failed once and was retried: "
        f"attempt {failed.epoch} is {failed.state.value}"
    )
    console.print(f"Job {jobs.fitting_nowhere.id} waits, and this is why:")
    for line in campaign.why_it_waits(jobs.fitting_nowhere.explain()):
        console.print(f"  {line}", markup=False)


def _goodbye(
    console: Console, central: LocalCentral, jobs: campaign.CampaignJobs, *, keep: bool
) -> None:
    if not keep:
        console.print("Everything is stopped. `pilotage demo --keep` leaves it running.")
        return
    console.print("The demo continues to run. To look around:")
    pilotage, job = command(), jobs.failing_once.id
    console.print(f"  export PILOTAGE_DATA={shlex.quote(str(central.data))}", markup=False)
    for words, what in (
        ("summary --by site", ""),
        (f"status {job}", ""),
        (f"history {job}", "the attempt that failed, and the next one"),
        (f"logs {job}", ""),
        (f"explain {jobs.fitting_nowhere.id}", "why it waits"),
        ("pilot list", ""),
        ("submit --wait -- echo hello", ""),
    ):
        note = f"   # {what}" if what else ""
        console.print(f"  {pilotage} {words}{note}", markup=False, soft_wrap=True)
    console.print("To end it:")
    for words in (
        f"{pilotage} pilot drain --all --wait",
        f"kill {central.running.pid}",
        f"rm -r {shlex.quote(str(central.data))}",
    ):
        console.print(f"  {words}", markup=False, soft_wrap=True)


def command() -> str:
    """Return the command for `pilotage`: its path if the shell would not find it."""
    if shutil.which("pilotage"):
        return "pilotage"
    called = Path(sys.argv[0])
    script = called if called.name == "pilotage" else Path(sys.executable).with_name("pilotage")
    return shlex.quote(str(script))
