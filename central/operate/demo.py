"""`pilotage demo`: a central, pilots of different make at four sites, a campaign, its faults.

It needs Python alone. What else is missing on the machine it says in a line, and goes on without.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.console import Console
from rich.live import Live
from rich.table import Table

from pilotage.proto.api import SecretRequest
from pilotage.proto.job_states import JobState
from pilotage.proto.pilot_states import PilotState

from ..client import Client
from . import campaign
from .datadir import Running
from .pilot import PilotPlan, start

LEASE_S = 15
START_S = 30.0
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
            running = stack.enter_context(_central(folder, keep=keep))
            return _show(console, folder, running, stack, keep=keep)
    except (DemoFailed, KeyboardInterrupt) as why:
        console.print(f"[red]The demo stopped:[/] {why or 'interrupted'}")
        return 1
    finally:
        if not keep and data is None:
            shutil.rmtree(folder, ignore_errors=True)


def _show(console: Console, folder: Path, running: Running, stack: ExitStack, *, keep: bool) -> int:
    client = stack.enter_context(Client(data=folder))
    health = client.health()
    console.print(f"[bold]The central[/] answers at {running.url}, its data is in {folder}")
    console.print(f"Leases last {LEASE_S} s here instead of 120 s, so that the demo is short.")
    console.print(f"Beats travel over {health.bus}.")
    pilots = _start_pilots(client, folder, running.url)
    if not keep:
        stack.callback(_end_pilots, pilots)
    _wait_for_pilots(client, pilots)
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
    _goodbye(console, folder, jobs, keep=keep)
    return 0 if found.right else 1


# -- the central and the pilots -----------------------------------------------------------------


@contextmanager
def _central(folder: Path, *, keep: bool) -> Generator[Running]:
    """Start `pilotage serve` on a free port; end it afterwards, unless it is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "central.log"
    with log.open("ab") as out:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "pilotage.central.cli", "serve", "--data", str(folder)),
                *("--port", "0", "--set", f"lease.lease_s={LEASE_S}"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield _running(folder, process, log)
    finally:
        if not keep:
            process.terminate()
            process.wait(20)


def _running(folder: Path, process: subprocess.Popen[bytes], log: Path) -> Running:
    file = folder / "central.json"
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise DemoFailed(f"the central ended:\n{log.read_text(errors='replace')[-2000:]}")
        if file.is_file():
            found = msgspec.json.decode(file.read_bytes(), type=Running)
            if found.pid == process.pid:
                return found
        time.sleep(0.05)
    raise DemoFailed(f"the central did not start within {START_S:.0f} s; its log is {log}")


def _start_pilots(client: Client, folder: Path, url: str) -> dict[str, subprocess.Popen[bytes]]:
    pilots: dict[str, subprocess.Popen[bytes]] = {}
    for make in MAKES:
        made = client.secrets(SecretRequest(site=make.site, element=make.element)).secrets[0]
        plan = PilotPlan(
            central=url,
            secret=made.secret,
            state=folder / "pilots" / made.pilot,
            cores=make.cores,
            memory_mb=make.memory_mb,
            tags=make.tags,
            os=make.os,
        )
        pilots[made.pilot] = start(plan)
    return pilots


def _wait_for_pilots(client: Client, pilots: dict[str, subprocess.Popen[bytes]]) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        running = {pilot.id for pilot in client.pilots(states=[PilotState.RUNNING])}
        if pilots.keys() <= running:
            return
        time.sleep(0.1)
    raise DemoFailed(f"pilots did not register within {START_S:.0f} s")


def _end_pilots(pilots: dict[str, subprocess.Popen[bytes]]) -> None:
    for process in pilots.values():
        if process.poll() is None:
            process.terminate()
    for process in pilots.values():
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


# -- what a person sees -------------------------------------------------------------------------


def _watch(
    console: Console,
    client: Client,
    jobs: campaign.Submitted,
    pilots: dict[str, subprocess.Popen[bytes]],
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

        return campaign.wait(client, jobs, look)


def _kill_one(client: Client, pilots: dict[str, subprocess.Popen[bytes]]) -> str:
    """kill -9 the pilot that holds most; its jobs must run elsewhere."""
    held = [pilot for pilot in client.pilots(states=[PilotState.RUNNING]) if pilot.attempts]
    if not held:
        return ""
    victim = max(held, key=lambda pilot: pilot.attempts)
    pilots[victim.id].kill()
    pilots[victim.id].wait()
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


def _goodbye(console: Console, folder: Path, jobs: campaign.Submitted, *, keep: bool) -> None:
    if not keep:
        console.print("Everything is stopped. `pilotage demo --keep` leaves it running.")
        return
    console.print("It goes on running. To look around:")
    job = jobs.failing_once.id
    console.print(f"  export PILOTAGE_DATA={folder}", markup=False)
    for words in (
        "summary --by site",
        f"status {job}",
        f"logs {job}",
        f"explain {jobs.fitting_nowhere.id}",
        "pilot list",
        "submit -- echo hello",
    ):
        console.print(f"  pilotage {words}", markup=False)
    console.print("To end it: kill the process that central.json in the data folder names.")
