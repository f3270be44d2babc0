"""`pilotage pilot …`."""

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from pilotage.proto.api.pilots import PilotEnded, PilotView, Secret, SecretRequest
from pilotage.proto.pilot_states import FINAL, LIVING, PilotState
from pilotage.proto.tasks import time_limit

from ...client.errors import IllegalState, TimedOut
from ...client.pace import RealPace, pauses
from ..command_frame import Answers, CentralConnection, Client, CommandResult, changes, reads
from ..exit_codes import ExitCode, UsageError
from ..jobs.explain import print_pilot
from ..jobs.job_options import request
from ..jobs.selection import parse_state
from ..jobs.waiting import LongestWait
from ..options import COMMON, READING_S, CommonOptions, data_folder, run_with
from ..presentation import aligned, note, number, print_json, print_line, table
from ..units import with_unit
from ..unknown_places import missed_site
from .facts import facts
from .logs import logs
from .options import PILOT_OPTIONS, PilotOptions, doubts, said_of

if TYPE_CHECKING:
    import subprocess


app = App(name="pilot", help="Start, list, show, drain and kill pilots; their logs and secrets.")
app.command(logs)

_SILENT_S = 120.0
_LOOK_LONGEST_S = 1.0
_EXPLAINED_MAX = 20
_LIVE = tuple(one for one in PilotState if one not in FINAL and one is not PilotState.LOST)
_COLUMNS = (
    *("pilot", "site", "element", "state", "host", "isolation"),
    *("cores#", "free#", "jobs#", "silent s#"),
)


CommunityOption = Annotated[
    str, Parameter(help="Community of the pilots (default: that of your token).")
]


@app.command
def start(
    *,
    site: Annotated[str, Parameter(help="Site of the pilot.")] = "local",
    element: Annotated[str, Parameter(help="Compute element of the site.")] = "local",
    community: CommunityOption = "",
    told: PilotOptions = PILOT_OPTIONS,
    count: Annotated[int, Parameter(help="Number of pilots.")] = 1,
    foreground: Annotated[bool, Parameter(help="Stay until the pilots end.")] = False,
    common: CommonOptions = COMMON,
) -> int:
    """Start pilots on this machine. They run until they are drained or have been idle for too long.

    The folder of a pilot, with its log, is deleted when the pilot ends well.
    """
    said = said_of(told)
    wanted = request(SecretRequest, site=site, element=element, community=community, count=count)
    secrets, central = _secrets(wanted, common)

    from ...operate.local_pilots import PilotPlan, new_state_folder, start_all

    data = data_folder(common.data)
    if data.is_dir():  # payloads run as the same user, who can read it
        said["hide"] = (*told.hide, str(data.absolute()))
    if central.startswith("https:") and (authority := os.environ.get("PILOTAGE_CA_FILE")):
        said["ca"] = str(Path(authority).absolute())
    plans = [
        PilotPlan(
            central=central,
            secret=one.secret,
            state=new_state_folder(),
            remove_state=True,
            told=said,
        )
        for one in secrets
    ]
    for line in doubts(told, len(os.sched_getaffinity(0))):
        note(line)
    processes = start_all(plans)
    for one, plan, process in zip(secrets, plans, processes, strict=True):
        if common.json:
            print_json({"pilot": one.pilot, "pid": process.pid, "state": str(plan.state)})
        else:
            print_line(f"{one.pilot}: process {process.pid}, log {plan.state}/pilot.log")
    return _until_they_end(processes) if foreground else ExitCode.OK


@app.command
def secret(
    *,
    site: Annotated[str, Parameter(help="Site of the pilots.")],
    element: Annotated[str, Parameter(help="Compute element of the site.")] = "local",
    community: CommunityOption = "",
    count: Annotated[int, Parameter(help="Number of pilots.")] = 1,
    valid_s: Annotated[int, with_unit("valid_s", help="Time until a secret expires.")] = 604_800,
    save: Annotated[
        Path, Parameter(help="Folder for the secrets, one file (0600) for each pilot.")
    ],
    common: CommonOptions = COMMON,
) -> int:
    """Make one-use secrets, with which pilots on other machines register.

    Give a file to `pilot.pyz run --secret-file`. See docs/operations/pilots.md.
    """
    wanted = request(
        SecretRequest,
        site=site,
        element=element,
        community=community,
        count=count,
        valid_s=valid_s,
    )
    try:  # first make the folder: secrets that cannot be saved must not be made
        save.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as why:
        raise UsageError(f"--save {save}: {why.strerror}") from None
    for one in _secrets(wanted, common)[0]:
        file = save / one.pilot
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(one.secret)
        if common.json:
            print_json({"pilot": one.pilot, "file": str(file)})
        else:
            print_line(f"{one.pilot}: {file}")
    return ExitCode.OK


def _secrets(wanted: SecretRequest, common: CommonOptions) -> tuple[list[Secret], str]:
    """Return a one-use secret for each pilot, and the URL of the central that made them."""

    async def work(client: Client) -> tuple[list[Secret], str]:
        return (await client.secrets(wanted)).secrets, client.url

    return run_with(common, work, patience_s=READING_S)


def _until_they_end(processes: "list[subprocess.Popen[bytes]]") -> int:
    """Wait until all pilots have ended. Ctrl-C terminates them."""
    try:
        codes = [process.wait() for process in processes]
    except KeyboardInterrupt:
        for process in processes:
            process.terminate()
        codes = [process.wait() for process in processes]
    return ExitCode.FAILED if any(codes) else ExitCode.OK


@app.command(name="list")
@reads
async def list_pilots(
    central: CentralConnection,
    *,
    state: Annotated[tuple[str, ...], Parameter(help="Only in this state. Repeatable.")] = (),
    site: Annotated[str, Parameter(help="Only at this site.")] = "",
    all: Annotated[bool, Parameter(help="Also show pilots that have ended.")] = False,
) -> Answers:
    """List live pilots. With --json, it prints one on each line.

    `(has room)` means that a pilot has free cores and waits for a suitable job.
    """
    states = tuple(parse_state(PilotState, word) for word in state)
    if not states and not all:
        states = _LIVE
    client = await central.client()
    rows: list[tuple[object, ...]] = []
    async for pilot in client.pilots(states=states, site=site):
        yield CommandResult(pilot)
        if not central.json:
            rows.append(_row(pilot))
    missed = await missed_site(client, site) if site and not (rows or central.json) else ""
    yield CommandResult(None, table(_COLUMNS, rows, empty=missed or _none(states, site)))


def _none(states: tuple[PilotState, ...], site: str) -> str:
    """Return the message for a list without pilots."""
    where = f" at {site}" if site else ""
    if states == _LIVE:
        return f"no live pilots{where}: start one with `pilotage pilot start`"
    what = " or ".join(state.value for state in states)
    return f"no {what} pilots{where}" if states else f"there are no pilots{where}"


@app.command
@reads
async def show(client: Client, pilot: str, /) -> CommandResult:
    """Show everything about a pilot: its offer, the jobs that it takes, and its node.

    For a pilot that the central submitted, it also shows what the compute element reports.
    Operators also see the output of its script if it failed.
    """
    return CommandResult(await client.pilot(pilot), _print)


def _print(found: PilotView) -> None:
    print_line(aligned(facts(found), 25))
    for name, text in (("standard output", found.stdout), ("standard error", found.stderr)):
        if text:
            print_line(f"-- end of the {name} of its script:")
            print_line(text.rstrip("\n"))


@app.command
@reads
async def explain(
    central: CentralConnection,
    pilot: str = "",
    /,
    *,
    site: Annotated[str, Parameter(help="All live pilots at this site.")] = "",
) -> Answers:
    """Explain why a pilot gets no job: how many waiting jobs each clause excludes."""
    if bool(pilot) + bool(site) != 1:
        raise UsageError("give the pilot to explain: a name from `pilotage pilot list`, or --site")
    client = await central.client()
    names = [pilot] if pilot else [one.id async for one in client.pilots(states=LIVING, site=site)]
    for name in names[:_EXPLAINED_MAX]:
        if site:
            yield CommandResult(None, f"{name}:")
        yield CommandResult(await client.explain_pilot(name), print_pilot)
    if not names:
        note(f"there is no live pilot at {site}")
    elif len(names) > _EXPLAINED_MAX:
        note(f"these are the first {_EXPLAINED_MAX} of {number(len(names))} pilots at {site}")


@app.command
@changes
async def drain(
    central: CentralConnection,
    *pilots: str,
    site: Annotated[str, Parameter(help="All live pilots at this site.")] = "",
    all: Annotated[bool, Parameter(help="All live pilots.")] = False,
    wait: Annotated[bool, Parameter(help="Wait until the pilots have ended.")] = False,
    timeout_s: LongestWait = None,
) -> Answers:
    """Let pilots finish their jobs, take no more, and end.

    A dead pilot does not report its end: --wait waits until the central calls it Lost, or until it
    has been silent for two minutes.
    """
    if bool(pilots) + bool(site) + all != 1:
        raise UsageError(
            "give the pilots to drain: names from `pilotage pilot list`, --site or --all"
        )
    client = await central.client()
    names = pilots or [one.id async for one in client.pilots(states=LIVING, site=site)]
    for pilot in names:
        await client.drain(pilot)
        yield CommandResult({"pilot": pilot, "draining": True}, f"{pilot}: draining")
    if not pilots and not central.json:
        note(f"{len(names)} {'pilot' if len(names) == 1 else 'pilots'} will end")
    if wait:
        await _ended(client, set(names), timeout_s)


@app.command
@changes
async def kill(
    central: CentralConnection,
    *pilots: str,
    site: Annotated[str, Parameter(help="All pilots of this site that have not ended.")] = "",
    element: Annotated[
        str, Parameter(help="Only pilots of this compute element; needs --site.")
    ] = "",
    reason: Annotated[str, Parameter(help="Reason, kept with the pilot.")] = "",
    wait: Annotated[bool, Parameter(help="Wait until the pilots have ended.")] = False,
    timeout_s: LongestWait = None,
) -> Answers:
    """End pilots now, without waiting for their jobs. The jobs are requeued and lose no retry.

    The pilot stops its jobs and signs off. Its compute element also ends it, even while it is
    queued. Jobs of a silent pilot are requeued when their leases end. The exit code is 1 if a pilot
    could be reached in neither way.
    """
    if bool(pilots) + bool(site) != 1 or (element and not site):
        raise UsageError(
            "give the pilots to kill: names from `pilotage pilot list`, or --site and --element"
        )
    client = await central.client()
    names = pilots or await _of_site(client, site, element)
    for pilot in names:
        try:
            done = await client.kill_pilot(pilot, reason=reason)
        except IllegalState:
            if pilots:
                raise
            continue  # it has ended since the list was read
        is_ended = done.told or done.cancelled or done.state in FINAL
        code = ExitCode.OK if is_ended else ExitCode.FAILED
        yield CommandResult(done, f"{pilot}: {_became(done)}", code)
    if not pilots and not central.json:
        note(f"{len(names)} {'pilot' if len(names) == 1 else 'pilots'} killed")
    if wait:
        await _ended(client, set(names), timeout_s)


async def _of_site(client: Client, site: str, element: str) -> list[str]:
    """Return the pilots of a site, or of one of its elements, that have not ended."""
    states = tuple(one for one in PilotState if one not in FINAL)
    return [
        one.id
        async for one in client.pilots(states=states, site=site)
        if element in ("", one.element)
    ]


def _became(done: PilotEnded) -> str:
    """Return the result of an order to end a pilot."""
    parts = [done.state.value]
    if done.told:
        parts.append("ordered to end now")
    if done.cancelled:
        parts.append("ended by its element")
    elif done.trouble:
        parts.append(f"its element did not end it: {done.trouble}")
    return ", ".join(parts)


async def _ended(client: Client, names: set[str], timeout_s: float | None) -> None:
    """Wait until none of these pilots is alive. Report silent pilots, and do not wait for them."""
    living: list[PilotView] = []
    silent: list[PilotView] = []
    try:
        async with time_limit(timeout_s):
            for rest_s in pauses(RealPace(), longest_s=_LOOK_LONGEST_S):
                living = [one async for one in client.pilots(states=LIVING) if one.id in names]
                silent = [one for one in living if (one.silent_s or 0) > _SILENT_S]
                if len(silent) == len(living):
                    break
                await asyncio.sleep(rest_s)
    except asyncio.TimeoutError:
        raise TimedOut("pilots", timeout_s or 0, len(living)) from None
    for one in silent:
        note(f"{one.id}: silent for {one.silent_s:.0f} s, so --wait ignores it")


def _row(pilot: PilotView) -> tuple[object, ...]:
    silent = None if pilot.silent_s is None else f"{pilot.silent_s:.0f}"
    return (
        pilot.id,
        pilot.site,
        pilot.element,
        pilot.state.value + (" (has room)" if pilot.parked else ""),
        pilot.host or ("secret not used yet" if pilot.state is PilotState.SUBMITTED else "-"),
        pilot.isolation + ("" if pilot.namespaces else " (open)") if pilot.isolation else "-",
        # The cores are unknown until the pilot asks for jobs, also after a restart.
        pilot.cores or "-",
        pilot.cores_free if pilot.cores else "-",
        pilot.attempts,
        silent,
    )
