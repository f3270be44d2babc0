"""`pilotage logs` and `pilotage output`."""

import codecs
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from pilotage.proto.messages import Stream

from .exit_codes import Exit, UsageError
from .options import CHANGING_S, COMMON, READING_S, Common, run_with
from .present import note, number, print_json, print_line, print_table

if TYPE_CHECKING:
    from ..client.client import AsyncClient
    from ..client.following import Part
    from ..client.handles import AsyncJobHandle


def logs(
    job: int,
    /,
    *,
    stream: Annotated[
        Literal["stdout", "stderr"], Parameter(help="Which of its two streams.")
    ] = "stdout",
    follow: Annotated[bool, Parameter(alias="-f", help="Go on until the job has ended.")] = False,
    common: Common = COMMON,
) -> int:
    """Print what a job wrote, byte by byte; with --follow also what it writes from now on.

    Of an attempt that has ended the last 10^6 bytes of each stream are kept: standard error says
    how many are left out, and of which attempt this is where there are several. With --json each
    piece is a line {job, stream, text}.
    """

    async def work(client: "AsyncClient") -> int:
        text = codecs.getincrementaldecoder("utf-8")(errors="replace")
        async for piece in client.log(job, Stream(stream), follow=follow, on_part=tell_part):
            if common.json:
                print_json({"job": job, "stream": stream, "text": text.decode(piece)})
            else:
                _write(piece)
        return Exit.OK

    # Whoever follows is there for long: another process may take the lead over meanwhile.
    return run_with(common, work, patience_s=CHANGING_S if follow else READING_S)


def output(
    job: int,
    /,
    *names: str,
    to: Annotated[Path | None, Parameter(help="Folder, or file for a single name.")] = None,
    all: Annotated[bool, Parameter(help="Fetch all that was kept.")] = False,
    common: Common = COMMON,
) -> int:
    """List the files that a job kept, or fetch some: pilotage output 12 hist.json --to results/"""

    async def work(client: "AsyncClient") -> int:
        kept = (await client.outputs(job)).outputs
        if not kept and not names and not common.json:
            note(f"job {job} kept no files")
            return Exit.OK
        if not names and not all and to is None:
            if common.json:
                print_json(kept)
            else:
                rows = ((one.name, one.size_bytes, one.sha256[:16], one.epoch) for one in kept)
                print_table(("name", "bytes#", "sha256", "try#"), rows, empty="")
            return Exit.OK
        wanted = names or tuple(one.name for one in kept)
        target = _target(to, a_file=len(names) == 1)
        for name in wanted:
            path = await client.download(job, name, target)
            if common.json:
                print_json({"job": job, "name": name, "path": str(path)})
            else:
                print_line(str(path))
        return Exit.OK

    return run_with(common, work, patience_s=READING_S)


async def follow_job(handle: "AsyncJobHandle") -> None:
    """Print what a job writes until it has ended."""
    async for piece in handle.log(follow=True, on_part=tell_part):
        _write(piece)


def tell_part(part: "Part") -> None:
    """Say what the bytes that follow are, where that is not plain."""
    if 0 < part.attempt < part.newest:
        note(f"attempt {part.attempt}: attempt {part.newest}, the newest, has left nothing yet")
    elif part.attempt > 1:
        note(f"attempt {part.attempt}")
    if part.left_out:
        kept = "only the last 10^6 bytes of a stream are kept"
        note(f"… {number(part.left_out)} bytes left out: {kept}")


def _target(to: Path | None, *, a_file: bool) -> Path:
    """Return where outputs go: a folder, which is made; for a single name it may be a file."""
    target = to or Path()
    if not a_file and not target.exists():
        target.mkdir(parents=True)
    if not a_file and not target.is_dir():
        raise UsageError(f"--to {target} is a file: several outputs need a folder")
    return target


def _write(piece: bytes) -> None:
    sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
