"""`pilotage rucio …`."""

from typing import TYPE_CHECKING

from cyclopts import App

from pilotage.proto.api.rucio import NO_SERVERS

from ..command_frame import Client, CommandResult, reads
from ..presentation import aligned, note, print_line, print_table

if TYPE_CHECKING:
    from pilotage.proto.api.rucio import RucioInputView, RucioList, RucioView


app = App(name="rucio", help="Show Rucio servers, and which of their files are here.")


@app.command(name="list")
@reads
async def list_servers(client: Client) -> CommandResult:
    """List Rucio servers, with their inputs and problems."""
    return CommandResult(await client.rucio_servers(), _print_all)


@app.command
@reads
async def show(client: Client, name: str, /) -> CommandResult:
    """Show one Rucio server: its inputs, and the files that cannot be shown here."""
    return CommandResult(await client.rucio_server(name), _print)


@app.command
@reads
async def compare(client: Client, name: str, /) -> CommandResult:
    """Compare all files of a server with the catalogue soon. It happens once a day anyway."""
    return CommandResult(await client.compare_rucio(name), _print)


def _print_all(found: "RucioList") -> None:
    columns = ("name", "input", "polled", "files", "waiting", "troubles")
    rows: list[tuple[object, ...]] = [
        (one.name, each.input, each.polled_at or "never", each.files, each.waiting, _count(each))
        for one in found.servers
        for each in one.inputs
    ]
    rows += [(one.name, "", "", "", "", "") for one in found.servers if one.url and not one.inputs]
    print_table(columns, rows, empty=NO_SERVERS)
    for one in found.servers:
        if one.trouble:
            note(f"{one.name}: {one.trouble}")
    if found.trouble:
        note(found.trouble)


def _count(one: "RucioInputView") -> int:
    return len(one.troubles) + bool(one.trouble)


def _print(one: "RucioView") -> None:
    off = ", ".join(f"{storage} ({rse})" for storage, rse in one.off.items())
    fields = [
        ("name", one.name),
        ("url", one.url),
        ("account", one.account),
        ("community", one.community),
        ("storages", ", ".join(f"{rse}: {name}" for rse, name in one.storages.items())),
        ("off", off or "none"),
        ("compared", one.compared_at or "not since the start"),
    ]
    print_line(aligned([*fields, *([("trouble", one.trouble)] if one.trouble else [])], 9))
    for each in one.inputs:
        polled = each.polled_at or "never"
        print_line(f"{each.input}: {each.files} files, {each.waiting} waiting, polled {polled}")
        if each.trouble:
            print_line(f"  {each.trouble}")
        for name, why in each.troubles.items():
            print_line(f"  {name}: {why}")
