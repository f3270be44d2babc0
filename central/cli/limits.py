"""`pilotage limits …`."""

from typing import TYPE_CHECKING

from cyclopts import App

from .exit_codes import Exit
from .options import CHANGING_S, COMMON, READING_S, Common, run_with
from .present import note, print_json, print_line, print_table

if TYPE_CHECKING:
    from pilotage.proto.api_sites import LimitsView, LimitView

    from ..client.client import AsyncClient

app = App(name="limits", help="Show shares and limits, and read them again.")

_COLUMNS = ("where", "community", "by", "value", "most", "per s", "burst", "running")


@app.command
def show(*, common: Common = COMMON) -> int:
    """Show the shares and limits in force, and how many jobs count for each limit."""

    async def work(client: "AsyncClient") -> int:
        return print_limits(await client.limits(), common)

    return run_with(common, work, patience_s=READING_S)


@app.command
def read(*, common: Common = COMMON) -> int:
    """Let the central read shares and limits of its settings' file again.

    They count from the next match on, and no job is stopped. If the file is wrong, nothing changes.
    """

    async def work(client: "AsyncClient") -> int:
        return print_limits(await client.read_limits(), common)

    return run_with(common, work, patience_s=CHANGING_S)


def print_limits(found: "LimitsView", common: Common) -> int:
    """Print what is in force, and what the central says of the file of settings."""
    if common.json:
        print_json(found)
        return Exit.OK
    print_table(_COLUMNS, [_row(one) for one in found.limits], empty="there are no limits")
    for path, share in sorted(found.shares.items()):
        print_line(f"share of {path}: {share:g}")
    for one in found.unknown:
        note(f"{one}. It counts as soon as there is a token or a job of it.")
    if found.trouble:
        note(f"the settings' file did not count when it was read last: {found.trouble}")
    return Exit.OK


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
