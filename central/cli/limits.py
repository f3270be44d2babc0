"""`pilotage limits …`."""

from typing import TYPE_CHECKING

from cyclopts import App

from .command_frame import Client, CommandResult, changes, reads
from .presentation import note, print_line, print_table

if TYPE_CHECKING:
    from pilotage.proto.api.limits import LimitsView, LimitView


app = App(name="limits", help="Show shares and limits, and reload them.")

_COLUMNS = ("where", "community", "by", "value", "most", "per s", "burst", "running")


@app.command
@reads
async def show(client: Client) -> CommandResult:
    """Show the shares and limits in force, and how many jobs count for each limit."""
    return CommandResult(await client.limits(), print_limits)


@app.command
@changes
async def read(client: Client) -> CommandResult:
    """Reload shares and limits from the settings file of the central.

    They apply from the next match on, and stop no job. If the file is wrong, nothing changes.
    """
    return CommandResult(await client.read_limits(), print_limits)


def print_limits(found: "LimitsView") -> None:
    """Print the shares and limits in force, and problems of the settings file."""
    print_table(_COLUMNS, [_row(one) for one in found.limits], empty="there are no limits")
    for path, share in sorted(found.shares.items()):
        print_line(f"share of {path}: {share:g}")
    for one in found.unknown:
        end = "" if one.endswith("?") else "."
        note(f"{one}{end} It takes effect with the first token or job of this name.")
    if found.trouble:
        note(f"the settings file is wrong, so the last valid values stay in force: {found.trouble}")


def _row(one: "LimitView") -> tuple[str, ...]:
    return (
        one.where or "all sites",
        one.community or "all",
        one.by,
        one.value,
        "" if one.per_s else str(one.most),
        f"{one.per_s:g}" if one.per_s else "",
        str(one.most) if one.per_s else "",
        "" if one.per_s else str(one.running),
    )
