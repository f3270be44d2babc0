"""Where a refused job is wrong, in terms of what the person has typed: an option, or a line."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ...client.errors import Refused
from .job_options import in_options, option_of

if TYPE_CHECKING:
    from ...client.documents.job_files import JobFile

Told = Callable[[str, str], str]  # path in the request, and what is wrong there


def in_place(refused: Refused, told: Told) -> Refused:
    """Return the central's refusal of a part of the request, told by its place."""
    path = refused.field.removeprefix("$.")
    if not path.startswith(("job.", "jobs[", "parameters[", "template")):
        return refused
    why = refused.message.removeprefix("$.").removeprefix(path).lstrip(": ")
    return type(refused)(refused.code, told(path, why), status=refused.status)


def by_option(path: str, why: str) -> str:
    """Tell what is wrong with a part of the one job by the option that stands for it."""
    inside = path.partition(".")[2]
    option = option_of(f"$.{inside}") if inside else ""
    if option == "--group" and "--group" in why:
        return why
    why = in_options(why)
    return f"{option.replace('--command', 'the command')}: {why}" if option else why


def by_line_of(read: "JobFile") -> Told:
    """Return what tells a mistake by its line in a job file; a job alone is the file's first."""
    job = "jobs[0]." if read.template is None else "template."

    def told(path: str, why: str) -> str:
        place = job + path.removeprefix("job.") if path.startswith("job.") else path
        return str(read.wrong(place, why) or why)

    return told


def by_ndjson_line(file: Path, path: str, why: str) -> str:
    """Tell what is wrong with a job of an .ndjson file by its line there."""
    index, _, inside = path.removeprefix("jobs[").partition("]")
    with file.open("rb") as stream:
        numbers = (n for n, line in enumerate(stream, 1) if line.strip())
        number = next(islice(numbers, int(index), None), None) if index.isdigit() else None
    place = str(file) if number is None else f"{file}:{number}"
    return ": ".join(part for part in (place, inside.lstrip("."), why) if part)
