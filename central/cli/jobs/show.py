"""`pilotage show`, and the history of one job."""

from typing import Annotated

import msgspec
from cyclopts import Parameter

from pilotage.proto.api.jobs import AttemptView, History, JobDetail
from pilotage.proto.messages import KEPT_BYTES

from ..command_frame import Client, CommandResult, reads
from ..presentation import number, print_line, print_table
from .jdl import as_jdl
from .selection import JobArgument


@reads
async def show(
    client: Client,
    job: JobArgument,
    /,
    *,
    jdl: Annotated[bool, Parameter(help="Print the job as JDL.")] = False,
) -> CommandResult:
    """Show one job: its state, command, usage and outputs."""
    if jdl:
        return await as_jdl(client, job)
    return CommandResult(await client.detail(job), _print)


def _print(found: JobDetail) -> None:
    of_task: dict[str, object] = {}
    if found.task:
        of_task["transformation"] = f"{found.transformation_id} ({found.transformation})"
        of_task["task"] = found.task
    of_submission = {"running_max": found.running_max} if found.running_max else {}
    after = {"after": ", ".join(found.after)}
    if found.after_count > len(found.after):
        after["after"] += f" and {found.after_count - len(found.after)} more"
    sections: dict[str, dict[str, object]] = {
        "": {**msgspec.to_builtins(found.view), **of_task, **of_submission, **after},
        "data.": {"reads": found.reads, "made": found.made},
        "job.": {"unreadable": found.unreadable}
        if found.job is None
        else {**msgspec.to_builtins(found.job), "after": ()},  # `after` above has the ids
        "used.": {key: value for key, value in found.usage.items() if value},
        "output.": {out.name: f"{out.size_bytes} bytes" for out in found.outputs},
    }
    for prefix, fields in sections.items():
        for key, value in fields.items():
            if value not in ("", None, (), [], {}):
                print_line(f"{prefix}{key:<{24 - len(prefix)}} {_text(value)}")
    if found.attempts:
        print_line("")
        print_table(_ATTEMPT, [_attempt(one) for one in found.attempts], empty="")
        for one in found.attempts:
            for stream, size in (("stdout", one.stdout_bytes), ("stderr", one.stderr_bytes)):
                if size > KEPT_BYTES:
                    first = number(size - KEPT_BYTES)
                    left = f"the first {first} of {number(size)} bytes were not kept"
                    print_line(f"{stream} of attempt {one.epoch}: {left}")


# Columns for an attempt; `history` and --json show more.
_ATTEMPT = (
    *("attempt#", "site", "end", "failure", "wall s#", "CPU s#", "memory MB#", "disk MB#"),
    *("MB in#", "MB out#", "isolation", "detail"),
)


def _attempt(one: AttemptView) -> tuple[object, ...]:
    end = one.how or ("runs" if one.started_at else "matched")
    if one.exit_code is not None:
        end += f" {one.exit_code}"
    used = one.usage

    def amount(name: str, unit: float = 1.0) -> str:
        return f"{used[name] / unit:.1f}" if name in used else ""

    return (
        *(one.epoch, one.site, end, one.failure, amount("wall_s"), amount("cpu_s")),
        *(amount("memory_peak_mb"), amount("scratch_peak_mb")),
        *(amount("bytes_in", 1e6), amount("bytes_out", 1e6), one.isolation, one.detail),
    )


def _text(value: object) -> str:
    """Return a value for people: words as they are, numbers rounded, other values as JSON."""
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def print_history(found: History) -> None:
    print_table(
        ("at", "source", "event", "failure", "attempt#", "detail"),
        [
            (one.at, one.source, one.event, one.failure, one.epoch or "", one.detail)
            for one in found.occurrences
        ],
        empty=f"there is no history of job {found.job}",
    )
