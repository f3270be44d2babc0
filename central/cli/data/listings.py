"""`pilotage data ls` and `du`: files with their sizes and copies, and sums of bytes."""

import enum
from typing import Annotated

from cyclopts import Parameter

from pilotage.proto.api.data import FileCopies

from ..command_frame import Answers, Client, CommandResult, reads
from ..presentation import note, print_line, print_table, table


class UsageBy(str, enum.Enum):
    """What the rows of `data du` are."""

    SCOPE = "scope"
    STORAGE = "storage"


@reads
async def ls(
    client: Client,
    which: Annotated[
        str,
        Parameter(
            help="A file, a dataset, SCOPE:, SCOPE:FOLDER/ or SCOPE:PATTERN (default: datasets)."
        ),
    ] = "",
    /,
    *,
    long: Annotated[
        bool, Parameter(alias="-l", help="Also show state, metadata and copies.")
    ] = False,
) -> Answers:
    """List files with their sizes in bytes: of a dataset, below a folder, or by name.

    Quote patterns: `*` is any text, also with `/`, and `?` one character. Removed files are not
    listed. Without a name, it lists all datasets.
    """
    if not which:
        yield await dataset_table(client)
        return
    count = 0
    async for one in client.list_files(which):
        count += 1
        yield CommandResult(one, _long if long else _short)
    if not count:
        note(f"no file matches {which}")


@reads
async def du(
    client: Client,
    which: Annotated[
        str, Parameter(help="A scope, or a dataset as SCOPE:NAME (default: all scopes).")
    ] = "",
    /,
    *,
    by: Annotated[UsageBy, Parameter(help="Rows: scopes, or storages too.")] = UsageBy.SCOPE,
) -> CommandResult:
    """Count files and bytes, without removed files.

    With `--by storage`, a file counts for each storage with a readable copy.
    """
    rows = await client.data_usage(which)
    rows = [one for one in rows if bool(one.storage) is (by is UsageBy.STORAGE)]
    what = "dataset" if ":" in which else "scope"
    columns = (what, *(("storage",) if by is UsageBy.STORAGE else ()), "files#", "bytes#")
    cells = [
        (which or one.scope, *((one.storage,) if one.storage else ()), one.files, one.bytes)
        for one in rows
    ]
    return CommandResult(rows, lambda _: print_table(columns, cells, empty="no files"))


async def dataset_table(client: Client) -> CommandResult:
    """Return the table of all datasets."""
    found = [one async for one in client.datasets()]
    rows = [
        (one.did, "open" if one.is_open else "closed", one.owner, pairs_of(one.metadata))
        for one in found
    ]
    columns = ("dataset", "state", "owner", "metadata")
    return CommandResult(found, table(columns, rows, empty="there are no datasets"))


def pairs_of(metadata: dict[str, object]) -> str:
    """Return metadata in one line: `particle=gamma run=7`."""
    return " ".join(f"{key}={shown(metadata[key])}" for key in sorted(metadata))


def shown(value: object) -> str:
    """Return a value of a metadata key as people type it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _short(one: FileCopies) -> None:
    print_line(f"{one.file.bytes:>12}  {one.file.did}")


def _long(one: FileCopies) -> None:
    file = one.file
    print_line(
        f"{file.bytes:>12}  {file.did}  {file.state.value}  {pairs_of(file.metadata)}".rstrip()
    )
    for copy in one.replicas:
        print_line(f"{'':>12}  {copy.storage}  {copy.state.value}  {copy.path}")
