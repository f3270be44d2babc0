"""`pilotage pilot …`."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from pilotage.proto.api import PilotView
from pilotage.proto.pilot_states import FINAL, PilotState

from ..client.nearest import unknown
from .exit_codes import Exit, UsageError
from .options import CHANGING_S, COMMON, READING_S, Common, run_with
from .present import print_json, print_line, print_table

if TYPE_CHECKING:
    from ..client.client import AsyncClient

app = App(name="pilot", help="Start, list, show and drain pilots.")

_COLUMNS = ("pilot", "site", "element", "state", "host", "cores#", "free#", "jobs#", "silent s#")


@app.command
def start(
    *,
    site: Annotated[str, Parameter(help="Site that the pilot belongs to.")] = "local",
    element: Annotated[str, Parameter(help="Compute element of the site.")] = "local",
    cores: Annotated[int | None, Parameter(help="Cores to offer; else all.")] = None,
    memory_mb: Annotated[int | None, Parameter(help="Memory to offer; else all.")] = None,
    tags: Annotated[tuple[str, ...], Parameter(help="Tag of the pilot; repeatable.")] = (),
    wall_s: Annotated[float | None, Parameter(help="How long it may run.")] = None,
    idle_s: Annotated[float | None, Parameter(help="It ends after so long without work.")] = None,
    isolation: Annotated[str, Parameter(help="Rung of isolation; else the best there is.")] = "",
    count: Annotated[int, Parameter(help="How many pilots.")] = 1,
    foreground: Annotated[bool, Parameter(negative="", help="Stay until they end.")] = False,
    common: Common = COMMON,
) -> int:
    """Start pilots on this machine."""
    if count < 1:
        raise UsageError(f"--count {count}: expected at least 1")
    from importlib import import_module

    operate = import_module("pilotage.central.operate.pilot")
    code: int | None = operate.start(
        site=site,
        element=element,
        cores=cores,
        memory_mb=memory_mb,
        tags=tags,
        wall_s=wall_s,
        idle_s=idle_s,
        isolation=isolation,
        count=count,
        foreground=foreground,
        url=common.url,
        data=common.data,
        json=common.json,
    )
    return code or Exit.OK


@app.command(name="list")
def list_pilots(
    *,
    state: Annotated[tuple[str, ...], Parameter(help="Only in this state; repeatable.")] = (),
    site: Annotated[str, Parameter(help="Only at this site.")] = "",
    all: Annotated[bool, Parameter(negative="", help="Also those that have ended.")] = False,
    common: Common = COMMON,
) -> int:
    """List pilots: those that live, unless told otherwise. With --json one on each line."""
    states = tuple(_state(word) for word in state)
    if not states and not all:
        states = tuple(one for one in PilotState if one not in FINAL)

    async def work(client: "AsyncClient") -> int:
        rows: list[tuple[object, ...]] = []
        async for pilot in client.pilots(states=states, site=site):
            if common.json:
                print_json(pilot)
            else:
                rows.append(_row(pilot))
        if not common.json:
            print_table(_COLUMNS, rows, empty="no pilots: start one with `pilotage pilot start`")
        return Exit.OK

    return run_with(common, work, patience_s=READING_S)


@app.command
def show(pilot: str, /, *, common: Common = COMMON) -> int:
    """Show everything that is known of a pilot."""

    async def work(client: "AsyncClient") -> int:
        found = await client.pilot(pilot)
        if common.json:
            print_json(found)
            return Exit.OK
        for name in found.__struct_fields__:
            value = getattr(found, name)
            text = ", ".join(value) if isinstance(value, tuple) else getattr(value, "value", value)
            print_line(f"{name:<14} {'-' if text in (None, '') else text}")
        return Exit.OK

    return run_with(common, work, patience_s=READING_S)


@app.command
def drain(*pilots: str, common: Common = COMMON) -> int:
    """Let pilots finish what they hold, and ask for nothing more."""
    if not pilots:
        raise UsageError("drain which pilots? `pilotage pilot list` has their names")

    async def work(client: "AsyncClient") -> int:
        for pilot in pilots:
            await client.drain(pilot)
            if common.json:
                print_json({"pilot": pilot, "draining": True})
            else:
                print_line(f"{pilot}: draining")
        return Exit.OK

    return run_with(common, work, patience_s=CHANGING_S)


def _state(word: str) -> PilotState:
    names = {state.value.lower(): state for state in PilotState}
    if word.lower() not in names:
        raise UsageError(unknown(word, (state.value for state in PilotState), what="state"))
    return names[word.lower()]


def _row(pilot: PilotView) -> tuple[object, ...]:
    silent = None if pilot.silent_s is None else f"{pilot.silent_s:.0f}"
    return (
        pilot.id,
        pilot.site,
        pilot.element,
        pilot.state.value + (" (parked)" if pilot.parked else ""),
        pilot.host or "-",
        pilot.cores,
        pilot.cores_free,
        pilot.attempts,
        silent,
    )
