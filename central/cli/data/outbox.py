"""`pilotage data outbox`: outputs that a Rucio server does not have yet."""

from typing import TYPE_CHECKING, Annotated

from ..command_frame import Answers, CentralConnection, CommandResult, reads
from ..presentation import note
from ..whole_numbers import whole

if TYPE_CHECKING:
    from pilotage.proto.api.rucio import OutboxEntry


@reads
async def outbox(
    central: CentralConnection,
    *,
    limit: Annotated[int, whole("List at most this many; 0: all.")] = 1_000,
) -> Answers:
    """List outputs that a Rucio server does not have yet, each with its reason.

    Waiting ones come first: the central retries them. Clashes follow: it never sends them again.
    """
    client = await central.client()
    counts = {False: 0, True: 0}
    for clashes in counts:
        async for one in client.outbox(clashes=clashes):
            if limit and sum(counts.values()) == limit:
                note(f"there are more than {limit} entries: --limit 0 lists all")
                return
            counts[clashes] += 1
            yield CommandResult(one, _line(one))
    if not central.json:
        note(
            f"{counts[False]} waiting, {counts[True]} {'clash' if counts[True] == 1 else 'clashes'}"
        )


def _line(one: "OutboxEntry") -> str:
    file = one.did or "a removed file"
    words = [one.state, one.rucio, file, f"job {one.job}", f"since {one.since}"]
    if one.tries:
        words.append(f"tried {one.tries} times" if one.tries > 1 else "tried once")
    return f"{'  '.join(words)}: {one.why}"
