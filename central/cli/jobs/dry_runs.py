"""`pilotage submit --dry-run`: the jobs that would be submitted."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from pilotage.proto.documents.job import Job

from ...client.files import LocalFile
from ..command_frame import CommandResult
from ..presentation import jobs_in_words, print_line

T = TypeVar("T")
Shown = tuple[Job, Sequence[LocalFile]]  # a job, and the local files that would be sent


def ends_of(several: Iterable[T]) -> list[T]:
    """Return the first and the last one; a single one once."""
    first, last = list[T](), deque[T](maxlen=1)
    for one in several:
        if first:
            last.append(one)
        else:
            first.append(one)
    return [*first, *last]


def dry_run_of(count: int, ends: Sequence[Shown]) -> CommandResult:
    """Return the first and the last of `count` jobs, in the form of a job file."""
    shown: list[dict[str, Any]] = []
    for job, files in ends:
        plain = msgspec.to_builtins(job)
        value = {key: one for key, one in plain.items() if one not in ({}, [{}])}
        if files:
            sent = [
                {"path": str(one.path), **({"name": one.name} if one.name else {})} for one in files
            ]
            value["inputs"] = [*value.get("inputs", ()), *sent]
        shown.append(value)

    def words(_: object) -> None:
        for title, value in zip(("first", "last"), shown, strict=False):
            head = f"# {jobs_in_words(count)}, the {title} one" if count > 1 else "# 1 job"
            print_line(f"{head}\n{msgspec.yaml.encode(value).decode().rstrip()}")

    return CommandResult({"count": count, "jobs": shown}, words)
