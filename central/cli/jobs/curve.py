"""`pilotage curve` and `peek`: what a job uses now, and what it used over time."""

from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from pilotage.proto.api.jobs import Curve, CurvePoint, Peek

from ..command_frame import Answers, Client, CommandResult, reads
from ..presentation import note, number, on_terminal, print_line, print_table
from ..units import with_unit
from .charts import bars, columns
from .selection import JobArgument

HEIGHT = 3  # lines of each chart
WIDTH = 60
APART_S = 0.05  # points that are closer together give no rate
_COLUMNS = ("at_s#", "cpu_s#", "cores#", "memory_mb#", "scratch_mb#", "processes#")
CurvePoints = list[tuple[float, float]]


@reads
async def curve(
    client: Client,
    job: JobArgument,
    /,
    *,
    attempt: Annotated[
        int | None, Parameter(help="Number of the attempt (default: the newest with a curve).")
    ] = None,
    follow: Annotated[
        bool, Parameter(alias="-f", help="Print each point as it comes, until the job has ended.")
    ] = False,
) -> Answers:
    """Show what a job used over time: CPU, memory, disk and processes.

    A running job has a curve up to now. In a pipe it prints the points in columns.
    """
    if follow:
        count = 0
        async for point in client.points(job):
            count += 1
            yield CommandResult(point, _now(point))
        if not count:
            note(f"job {job} has no curve")
    else:
        yield CommandResult(await client.curve(job, epoch=attempt), _print_curve)


@reads
async def peek(
    client: Client,
    job: JobArgument,
    /,
    *,
    bytes: Annotated[
        int,
        Parameter(help="Bytes of each stream, from its end.", validator=Number(gte=1, lte=65_536)),
    ] = 2_000,
    wait_s: Annotated[
        float,
        with_unit("wait_s", help="Time to wait for the pilot.", validator=Number(gt=0, lte=60)),
    ] = 15.0,
) -> CommandResult:
    """Show the end of both streams of a job, and what it uses now."""
    return CommandResult(await client.peek(job, bytes=bytes, wait_s=wait_s), print_peek)


def _print_curve(found: Curve) -> None:
    if not found.points:
        note(f"job {found.job} has no curve{' yet' if found.live else ''}")
    elif on_terminal():
        print_line("\n".join(picture(found)))
    else:
        print_table(_COLUMNS, _rows(found.points), empty="")


def picture(found: Curve) -> list[str]:
    """Return a line about the job, and below it a chart of each figure."""
    end = found.points[-1]
    spent = f"{_duration(end.at_s)}, CPU {end.cpu_s:.1f} s"
    state = "runs" if found.live else "ended"
    lines = [f"job {found.job}, attempt {found.epoch}, {state}: {spent}"]
    given = {"memory, MB": found.memory_mb, "disk, MB": found.scratch_mb, "CPU, cores": found.cores}
    for name, series in _charts(found.points).items():
        most = max(value for _, value in series)
        of = f" of {given[name]:,}".replace(",", " ") if given.get(name) else ""
        lines += ["", f"{name}: at most {_amount(most)}{of}"]
        lines += ["│" + line for line in bars(columns(series, WIDTH, end.at_s), HEIGHT, most)]
    right = _duration(end.at_s)
    return [*lines, "└" + "─" * WIDTH, " 0 s" + right.rjust(WIDTH - 3)]


def _charts(points: Sequence[CurvePoint]) -> dict[str, CurvePoints]:
    return {
        "CPU, cores": cores_used(points),
        "memory, MB": [(one.at_s, one.memory_mb) for one in points],
        "disk, MB": [(one.at_s, one.scratch_mb) for one in points],
        "processes": [(one.at_s, float(one.processes)) for one in points],
    }


def cores_used(points: Sequence[CurvePoint]) -> CurvePoints:
    """Return the mean number of busy cores between each point and the point before it."""
    before = CurvePoint(at_s=0.0, cpu_s=0.0, memory_mb=0.0, scratch_mb=0.0, processes=0)
    found: list[tuple[float, float]] = []
    for now in points:
        passed_s = now.at_s - before.at_s
        if (
            passed_s < APART_S and found
        ):  # too close for a rate: the next point counts this time too
            found.append((now.at_s, found[-1][1]))
            continue
        found.append((now.at_s, max(0.0, now.cpu_s - before.cpu_s) / max(passed_s, APART_S)))
        before = now
    return found


def _rows(points: Sequence[CurvePoint]) -> list[tuple[object, ...]]:
    return [
        (
            f"{one.at_s:.1f}",
            f"{one.cpu_s:.2f}",
            f"{used:.2f}",
            f"{one.memory_mb:.1f}",
            f"{one.scratch_mb:.1f}",
            one.processes,
        )
        for one, (_, used) in zip(points, cores_used(points), strict=True)
    ]


def print_peek(found: Peek) -> None:
    """Print the usage and the output of a job, and their time."""
    if not found.epoch:
        note(f"job {found.job} has not run")
        return
    said_all = "as it is now" if found.live else f"which ended at {found.at}"
    late = f"as reported by its pilot at {found.at}"
    print_line(f"attempt {found.epoch}, {said_all if found.complete else late}")
    if found.usage is not None:
        print_line(_now(found.usage))
    for name, text, size in (
        ("stdout", found.stdout, found.stdout_bytes),
        ("stderr", found.stderr, found.stderr_bytes),
    ):
        shown = len(text.encode())
        part = f"the last {number(shown)} of {number(size)} bytes" if shown < size else ""
        print_line(f"--- {name}: {part or f'{number(size)} bytes'}")
        if text:
            print_line(text.rstrip("\n"))
    if not found.complete:
        note(f"its pilot did not answer in time; its last report is from {found.at}")


def _now(point: CurvePoint) -> str:
    return (
        f"{_duration(point.at_s)}: CPU {point.cpu_s:.1f} s, memory {_amount(point.memory_mb)} MB, "
        f"disk {_amount(point.scratch_mb)} MB, {point.processes} processes"
    )


def _amount(value: float) -> str:
    return number(round(value)) if value >= 100 else f"{value:.1f}"


def _duration(seconds: float) -> str:
    """Return a time in words: 12.3 s, 4 min 05 s, 3 h 07 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3_600} h {whole % 3_600 // 60:02d} min"
