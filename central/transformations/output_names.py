"""Checks the names of output files before anything runs: some names cannot be given."""

import string
from collections.abc import Iterator, Mapping
from typing import Final

from pilotage.proto.catalogue import BadCatalogueField, Did, FileState
from pilotage.proto.documents.job import DataOutput, JobData
from pilotage.proto.documents.transformation import Transformation
from pilotage.proto.problems import Code

from ..catalogue import record_read as catalogue_read
from ..catalogue.placeholders import fill, finished, later
from ..catalogue.record_types import FileRow
from ..errors import Refused
from ..jobs import record_tasks as task_records
from ..store.engine import Store
from .groupings.rule_names import BUILT_IN

TASKS: Final = 100  # the first tasks, whose names are checked
CHUNK: Final = 1_000  # names that are looked up at once
_OF_FILE: Final = frozenset({"file", "stem", "suffix"})
_ALIKE: Final = frozenset({"transformation"})  # the same in all of its tasks
_formatter = string.Formatter()


async def check_names(
    store: Store, catalogue: Store, community: str, group: str, doc: Transformation
) -> None:
    """Raise Refused if an output would have a taken name: then each try of a task fails.

    A name always means the same bytes. Only names that are known before the start are
    checked: those of removed files, and of files by a task of another transformation.
    """
    named: list[tuple[int, Did]] = []
    for i, out in enumerate(doc.job.data.outputs if doc.job.data is not None else ()):
        if _makes_several(doc) and is_one_name(out):
            raise _refused(
                i, "each of its tasks would make a file with this name: put {task} in it"
            )
        named += [(i, did) for did in names_of(out, doc, group)]
    for start in range(0, len(named), CHUNK):
        some = named[start : start + CHUNK]
        found = await catalogue.read(
            catalogue_read.files_by_did, community, [did for _, did in some]
        )
        jobs = {row.job_id for row in found if row is not None and row.job_id is not None}
        tasks = await store.read(task_records.tasks_of_jobs, sorted(jobs))
        for (i, did), row in zip(some, found, strict=True):
            if row is None:
                continue
            task = tasks.get(row.job_id or 0)
            if row.state is FileState.REMOVED or task is not None:
                maker = "" if task is None else f"transformation {task.transformation_id}"
                raise _refused(i, _why_not(row, did, maker))


def _why_not(row: FileRow, did: Did, maker: str) -> str:
    was = "was removed" if row.state is FileState.REMOVED else f"was made by {maker}"
    return (
        f"{did} {was}, and names are never reused: "
        "choose another name; {transformation} in it gives a new number each time"
    )


def _refused(i: int, why: str) -> Refused:
    field = f"document.job.data.outputs[{i}].name"
    return Refused(Code.INVALID, f"{field}: {why}", field=field)


def _makes_several(doc: Transformation) -> bool:
    """Return whether it surely makes more than one task."""
    if not doc.inputs:
        return doc.tasks > 1
    return doc.grouping.rule in BUILT_IN and doc.grouping.rule != "all"


def is_one_name(out: DataOutput) -> bool:
    """Return whether all tasks would give the same name."""
    if out.did or _uses(f"{out.scope}{out.pattern}") - _ALIKE:
        return False
    return _uses(out.name) - _ALIKE <= (set() if _is_glob(out.pattern) else _OF_FILE)


def names_of(out: DataOutput, doc: Transformation, group: str) -> Iterator[Did]:
    """Yield the names that the first tasks give, if they are known."""
    if out.did:
        return
    rows = doc.rows or ({},)
    known = {"task", *rows[0]}
    if not _uses(out.pattern) <= known or not _uses(out.scope) <= known:
        return
    if not _uses(out.name) <= known | (set() if _is_glob(out.pattern) else _OF_FILE):
        return
    count = min(TASKS, doc.tasks or TASKS)
    if not _uses(f"{out.scope}{out.name}{out.pattern}"):
        count = 1
    for task in range(1, count + 1):
        values = {"task": task, **rows[min(task, len(rows)) - 1]}
        did = _named(out, values, group)
        if did is not None:
            yield did


def _named(out: DataOutput, values: Mapping[str, str | int | float], group: str) -> Did | None:
    """Return a task's name for its file; None: it is invalid, which another check reports."""
    alone = DataOutput(pattern=out.pattern, scope=out.scope, name=out.name)
    (filled,) = fill(JobData(outputs=(alone,)), values).outputs
    try:
        name = finished(filled.name, later(0, 0, filled.pattern))
        return Did.parse(f"{filled.scope or group}:{name}")
    except BadCatalogueField:
        return None


def _uses(text: str) -> set[str]:
    return {name for _, name, _, _ in _formatter.parse(text) if name is not None}


def _is_glob(pattern: str) -> bool:
    return any(sign in pattern for sign in "*?[")
