"""`pilotage data sweep`: bytes on storages that no catalogue entry needs, and their removal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pilotage.proto.api.storages import NO_STORAGES
from pilotage.proto.decoding.nearest_words import unknown

from ...observe.times import span
from ..command_frame import Answers, CentralConnection, CommandResult, reads
from ..exit_codes import UsageError
from ..presentation import note, print_table
from ..whole_numbers import whole

if TYPE_CHECKING:
    from pilotage.proto.api.remnants import RemnantView, SweepCount, SweepView


_COLUMNS = ("storage", "swept", "wait", "bytes", "being removed", "failing", "removed", "bytes")


@reads
async def sweep(
    central: CentralConnection,
    *,
    dry_run: Annotated[bool, Parameter(help="List the bytes that would be removed now.")] = False,
    all: Annotated[
        bool, Parameter(help="List all waiting bytes, whether their time is over or not.")
    ] = False,
    storage: Annotated[str, Parameter(help="Only this storage.")] = "",
    limit: Annotated[int, whole("List at most this many; 0: all.")] = 1_000,
) -> Answers:
    """Show bytes that no catalogue entry needs, by storage: waiting, in removal, removed and
    failed.

    They are copies of removed files, and folders of attempts that do not count. After
    data.sweep_after_s, jobs of type Sweep or the central remove them, if the storage's file says
    `deletes: true`. This command removes nothing.
    """
    client = await central.client()
    if not (dry_run or all):
        found = await client.sweep()
        yield CommandResult(counts_of(found, storage), lambda its: print_counts(its, found.after_s))
        return
    count, size = 0, 0
    async for one in client.remnants(storage=storage, all=all):
        if limit and count == limit:
            note(f"there are more than {limit} entries: --limit 0 lists all")
            return
        count, size = count + 1, size + one.bytes
        yield CommandResult(one, "  ".join((one.storage, str(one.bytes), one.path, _why(one))))
    if not central.json:
        note(f"{count} {'entry' if count == 1 else 'entries'}, {size} bytes")


def _why(one: "RemnantView") -> str:
    what = f"{one.did} removed" if one.did else "of an attempt that does not count, ended"
    failures = f", failed {one.failures} times" if one.failures else ""
    return f"{what} {one.since}{failures}" + (f": {one.why}" if one.why else "")


def counts_of(found: "SweepView", storage: str) -> "list[SweepCount]":
    """Return the counts of all storages, or of one. Raises UsageError if it is unknown."""
    names = [one.storage for one in found.storages]
    if storage and storage not in names:
        raise UsageError(f"--storage: {unknown(storage, names, what='storage')}")
    return [one for one in found.storages if storage in ("", one.storage)]


def print_counts(counts: "Sequence[SweepCount]", after_s: float) -> None:
    """Print the counts of each storage."""
    print_table(_COLUMNS, [_row(one) for one in counts], empty=NO_STORAGES)
    for one in counts:
        if one.trouble and one.waiting:
            note(f"{one.storage} is not swept: {one.trouble}")
    note(f"bytes without a catalogue entry wait {span(after_s)} before their removal")


def _row(one: "SweepCount") -> Sequence[object]:
    yes = "yes" if one.takes_part else "no"
    return (
        *(one.storage, yes, one.waiting, one.waiting_bytes, one.sweeping, one.failing),
        *(one.gone, one.gone_bytes),
    )
