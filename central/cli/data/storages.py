"""`pilotage storage …`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from pilotage.proto.api.storages import NO_STORAGES

from ..command_frame import Client, CommandResult, reads
from ..exit_codes import ExitCode
from ..options import data_folder
from ..presentation import aligned, note, print_line, print_table

if TYPE_CHECKING:
    from pilotage.proto.api.storages import StorageList, StorageView


app = App(name="storage", help="Show storages, and check their files.")

FolderArgument = Annotated[
    Path | None, Parameter(help="Folder with storage files (default: that of the data directory).")
]
_COLUMNS = ("name", "type", "url", "sites", "near", "priority", "may")


@app.command(name="list")
@reads
async def list_storages(client: Client) -> CommandResult:
    """List storages: their places, the sites that reach them, and problems of their files."""
    return CommandResult(await client.storages(), _print_all)


@app.command
@reads
async def show(client: Client, storage: str, /) -> CommandResult:
    """Show one storage."""
    return CommandResult(await client.storage(storage), _print)


@app.command
def check(folder: FolderArgument = None, /) -> int:
    """Check storage files as a central would read them, and report the mistakes.

    This command needs no central and no storage.
    """
    from ...catalogue.storages import StorageBook, read_storages

    folder = folder or data_folder(None) / "storages"
    if not folder.is_dir():
        note(f"{folder} is not a folder")
        return ExitCode.USAGE
    book = read_storages(folder, StorageBook())
    for name, entry in book.storages.items():
        print_line(f"{name}: {entry.type} {entry.url}")
    for why in (*book.troubles.values(), *filter(None, [book.unlisted])):
        note(why)
    return ExitCode.FAILED if book.troubles or book.unlisted else ExitCode.OK


def _row(one: "StorageView") -> tuple[object, ...]:
    may = [word for word in ("readable", "writable", "default", "deletes") if getattr(one, word)]
    sites = ", ".join(one.sites) or "all"
    return (one.name, one.type, one.url, sites, ", ".join(one.near), one.priority, ", ".join(may))


def _print(one: "StorageView") -> None:
    trouble = [("trouble", one.trouble)] if one.trouble else []
    print_line(aligned([*zip(_COLUMNS, _row(one), strict=True), *trouble], 9))


def _print_all(found: "StorageList") -> None:
    troubles = [*filter(None, (*(one.trouble for one in found.storages), found.trouble))]
    empty = "no storage is in force" if troubles else NO_STORAGES
    print_table(_COLUMNS, [_row(one) for one in found.storages if one.type], empty=empty)
    for trouble in troubles:
        note(trouble)
