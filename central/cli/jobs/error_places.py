"""The place of a mistake in a refused job: the option or the line that the user wrote."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ...client.errors import Refused
from .job_options import in_options, option_of

if TYPE_CHECKING:
    from ...client.documents.job_files import JobFile

Told = Callable[[str, str], str]  # from the path in the request, and the reason


def in_place(refused: Refused, told: Told) -> Refused:
    """Return the refusal of a part of the request, with the place of the mistake."""
    path = refused.field.removeprefix("$.")
    if not path.startswith(("job.", "jobs[", "parameters[", "template")):
        return refused
    why = refused.message.removeprefix("$.").removeprefix(path).lstrip(": ")
    return type(refused)(refused.code, told(path, why), status=refused.status)


def by_option(path: str, why: str) -> str:
    """Describe a mistake in the job with the option that sets this part of it."""
    inside = path.partition(".")[2]
    option = option_of(f"$.{inside}") if inside else ""
    if option == "--group" and "--group" in why:
        return why
    why = in_options(why)
    return f"{option.replace('--command', 'the command')}: {why}" if option else why


def by_line_of(read: "JobFile") -> Told:
    """Return a function that describes a mistake with its line in a job file."""
    job = "jobs[0]." if read.template is None else "template."

    def told(path: str, why: str) -> str:
        place = job + path.removeprefix("job.") if path.startswith("job.") else path
        return str(read.wrong(place, why) or why)

    return told


def by_ndjson_line(file: Path, path: str, why: str) -> str:
    """Describe a mistake in a job of an .ndjson file with its line."""
    index, _, inside = path.removeprefix("jobs[").partition("]")
    with file.open("rb") as stream:
        numbers = (n for n, line in enumerate(stream, 1) if line.strip())
        number = next(islice(numbers, int(index), None), None) if index.isdigit() else None
    place = str(file) if number is None else f"{file}:{number}"
    return ": ".join(part for part in (place, inside.lstrip("."), why) if part)
