"""Checks the names of output files before a production starts: removed names cannot be reused."""

from collections.abc import Iterator, Mapping
from typing import Final

from pilotage.proto.catalogue import Did, FileState
from pilotage.proto.documents.transformation import Transformation
from pilotage.proto.documents.workflow import Workflow
from pilotage.proto.problems import Code

from ..catalogue import record_read as catalogue_read
from ..errors import Refused
from ..store.engine import Store
from ..transformations.output_names import CHUNK, names_of

NAMES_MAX: Final = 10_000  # of one production


async def check_names(
    catalogue: Store,
    community: str,
    group: str,
    workflow: Workflow,
    docs: Mapping[str, Transformation],
    *,
    again: bool = False,
) -> None:
    """Raise Refused if an output would have the name of a removed file.

    With `again`, present files are removed soon: the steps that made them run again.

    A name always means the same bytes. So the result of a job with such a file is refused, at
    each try. Only names that are known before the start are checked.
    """
    named = [
        (step, port, did)
        for step, doc in docs.items()
        for port, did in _names(workflow, step, doc, group)
    ][:NAMES_MAX]
    for start in range(0, len(named), CHUNK):
        some = named[start : start + CHUNK]
        found = await catalogue.read(
            catalogue_read.files_by_did, community, [did for _, _, did in some]
        )
        for (step, port, did), row in zip(some, found, strict=True):
            if row is not None and (again or row.state is FileState.REMOVED):
                was = "is there already" if again else "was removed"
                why = (
                    f"step {step}: outputs.{port}.name: {did} {was}, and names are never "
                    "reused: no job can make it again. Choose another name; "
                    "{transformation} in it gives a new number each time"
                )
                field = f"workflow.steps.{step}.outputs.{port}.name"
                raise Refused(Code.INVALID, why, field=field)


def _names(
    workflow: Workflow, step: str, doc: Transformation, group: str
) -> Iterator[tuple[str, Did]]:
    """Yield the names that the first tasks of a step give, with their port, if they are known."""
    ports = [port for port, out in workflow.steps[step].outputs.items() if not out.value]
    outputs = doc.job.data.outputs if doc.job.data is not None else ()
    for port, out in zip(ports, outputs, strict=True):
        for did in names_of(out, doc, group):
            yield port, did
