"""`pilotage storage …`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from pilotage.proto.api.storages import NO_STORAGES

from ..command_frame import CentralConnection, Client, CommandResult, changes, reads
from ..exit_codes import ExitCode
from ..options import data_folder
from ..presentation import aligned, note, print_line, print_table

if TYPE_CHECKING:
    from pilotage.proto.api.storages import StorageCheck, StorageList, StorageView


app = App(name="storage", help="Show storages, and check their files.")

WhatArgument = Annotated[
    str,
    Parameter(
        name="STORAGE|FOLDER",
        help="A storage, or a folder with storage files (default: that of the data directory).",
    ),
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
@changes
async def check(central: CentralConnection, what: WhatArgument = "", /) -> CommandResult:
    """Check storage files as a central would read them, or try one storage.

    With the name of a storage of type davs, the central stores, reads and removes a small file
    there, and tries what the token of a job must not allow. With a folder, this command reads the
    files in it, and needs no central and no storage.
    """
    if _is_name(what):
        client = await central.client()
        found = await client.check_storage(what)
        return CommandResult(found, _print_check, ExitCode.OK if found.ok else ExitCode.FAILED)
    return _checked(Path(what) if what else data_folder(None) / "storages")


def _is_name(what: str) -> bool:
    """Return whether an argument names a storage, not a folder."""
    return bool(what) and "/" not in what and not Path(what).is_dir()


def _checked(folder: Path) -> CommandResult:
    """Read the storage files in a folder, and report the mistakes."""
    from ...catalogue.storages import StorageBook, read_storages
    from ...operate.storages.tokens import open_keys, wrong_credential

    if not folder.is_dir():
        note(f"{folder} is not a folder")
        return CommandResult(None, code=ExitCode.USAGE)
    book = read_storages(folder, StorageBook(), wrong_credential)
    for why in (*book.troubles.values(), *filter(None, [book.unlisted])):
        note(why)
    opened = [(name, file) for name, one in book.storages.items() if (file := open_keys(one))]
    for name, file in opened:
        where = f"{folder / name}.yaml: credential.options.file"
        note(f"{where}: other users may read the keys in {file}: chmod 0600 it")
    words = "\n".join(f"{name}: {one.type} {one.url}" for name, one in book.storages.items())
    good = {name: {"type": one.type, "url": one.url} for name, one in book.storages.items()}
    is_bad = bool(book.troubles or book.unlisted or opened)
    return CommandResult(good, words, ExitCode.FAILED if is_bad else ExitCode.OK)


def _print_check(found: "StorageCheck") -> None:
    for step in found.steps:
        said = f": {step.said}" if step.said else ""
        print_line(f"{'ok   ' if step.ok else 'FAULT'} {step.what}{said}")


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
