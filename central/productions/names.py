"""Names of files that steps say, and that no job can make any more: told before anything runs."""

import string
from collections.abc import Iterator, Mapping
from typing import Final

from pilotage.proto.catalogue import Did, FileState, NotRight
from pilotage.proto.job import DataOutput, JobData
from pilotage.proto.problems import Code
from pilotage.proto.transformation import Transformation
from pilotage.proto.workflow import Workflow

from ..data.naming import fill, finished, later
from ..errors import Refused
from ..store.catalogue import CatalogueStore

TASKS: Final = 100  # the first ones of a step, whose names are looked at
NAMES_MAX: Final = 10_000  # of one production
CHUNK: Final = 1_000  # names that are looked for in one go
_OF_FILE: Final = frozenset({"file", "stem", "suffix"})
_formatter = string.Formatter()


async def check_names(
    catalogue: CatalogueStore,
    community: str,
    group: str,
    workflow: Workflow,
    docs: Mapping[str, Transformation],
) -> None:
    """Raise Refused where files would be called as one that was removed.

    A name means the same bytes for ever: the result of a job that has made such a file is refused,
    and so is every try of it. Looked at are the names that are known before.
    """
    named = [
        (step, port, did)
        for step, doc in docs.items()
        for port, did in _names(workflow, step, doc, group)
    ][:NAMES_MAX]
    for start in range(0, len(named), CHUNK):
        some = named[start : start + CHUNK]
        found = await catalogue.files_by_did(community, [did for _, _, did in some])
        for (step, port, did), row in zip(some, found, strict=True):
            if row is not None and row.state is FileState.REMOVED:
                why = (
                    f"step {step}: outputs.{port}.name: {did} was removed, and its name is for "
                    "these bytes for ever: no job makes it again. Take another name, "
                    "{transformation} in it is another number each time"
                )
                field = f"workflow.steps.{step}.outputs.{port}.name"
                raise Refused(Code.INVALID, why, field=field)


def _names(
    workflow: Workflow, step: str, doc: Transformation, group: str
) -> Iterator[tuple[str, Did]]:
    """Yield the names that the first tasks of a step give, by port, as far as they are known."""
    ports = [port for port, out in workflow.steps[step].outputs.items() if not out.value]
    outputs = doc.job.data.outputs if doc.job.data is not None else ()
    for port, out in zip(ports, outputs, strict=True):
        rows = doc.rows or ({},)
        known = {"task", *rows[0]}
        if not _uses(out.pattern) <= known or not _uses(out.scope) <= known:
            continue
        if not _uses(out.name) <= known | (set() if _is_glob(out.pattern) else _OF_FILE):
            continue
        count = min(TASKS, doc.tasks or TASKS)
        if not _uses(f"{out.scope}{out.name}{out.pattern}"):
            count = 1
        for task in range(1, count + 1):
            values = {"task": task, **rows[min(task, len(rows)) - 1]}
            did = _named(out, values, group)
            if did is not None:
                yield port, did


def _named(out: DataOutput, values: Mapping[str, str | int | float], group: str) -> Did | None:
    """Return how a task calls its file; None: it cannot be called so, which is told elsewhere."""
    (filled,) = fill(JobData(outputs=(out,)), values).outputs
    try:
        name = finished(filled.name, later(0, 0, filled.pattern))
        return Did.parse(f"{filled.scope or group}:{name}")
    except NotRight:
        return None


def _uses(text: str) -> set[str]:
    return {name for _, name, _, _ in _formatter.parse(text) if name is not None}


def _is_glob(pattern: str) -> bool:
    return any(sign in pattern for sign in "*?[")
