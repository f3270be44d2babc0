"""Previews a production: the tasks and files of each step, from the files in the catalogue."""

from collections.abc import Mapping
from functools import partial
from typing import Final

import msgspec

from pilotage.proto.api.jobs import PAGE_MAX
from pilotage.proto.api.productions import ProductionPreview, StepPreview
from pilotage.proto.catalogue import DATASET_KEY, parse_query
from pilotage.proto.documents.transformation import Transformation
from pilotage.proto.documents.workflow import StepInput

from ..catalogue import record_read as catalogue_read
from ..catalogue.record_types import FileCursor
from ..store.engine import Store
from ..workflows.plan import NONE, PlannedCount, plan
from .definition import Definition
from .worker_threads import on_thread

FILES_MAX: Final = 10_000  # of one port that are counted


async def preview(
    catalogue: Store,
    community: str,
    definition: Definition,
    docs: Mapping[str, Transformation],
    *,
    name: str,
    sha256: str,
) -> ProductionPreview:
    """Return the preview of a checked definition."""
    workflow = definition.workflow
    counted: dict[tuple[str, str], PlannedCount] = {}
    for name_of, step in workflow.steps.items():
        for port, given in step.inputs.items():
            if given.is_catalogue:
                counted[name_of, port] = await _count(catalogue, community, given)
    found = await on_thread(workflow, partial(plan, workflow, counted=counted))
    steps = [
        StepPreview(
            step=one.step,
            name=docs[one.step].name,
            tasks=one.tasks.count,
            exact=one.tasks.exact,
            inputs={port: amount.count for port, amount in one.inputs.items()},
            outputs={port: amount.count for port, amount in one.outputs.items()},
            more=[port for port in one.inputs if not counted.get((one.step, port), NONE).exact],
            document=msgspec.to_builtins(docs[one.step]),
        )
        for one in found.steps
    ]
    return ProductionPreview(
        name=name,
        steps=steps,
        tasks=found.tasks.count,
        files=found.files.count,
        definition=sha256,
    )


async def _count(catalogue: Store, community: str, given: StepInput) -> PlannedCount:
    """Return the number of files for a port; it is not exact if there may be more."""
    dataset = {DATASET_KEY: given.dataset} if given.dataset else {}
    asked = parse_query({**given.query, **given.where, **dataset})
    count = 0
    after: FileCursor | None = None
    while count <= FILES_MAX:
        limit = min(PAGE_MAX, FILES_MAX + 1 - count)  # one more shows whether there are more
        page = await catalogue.read(
            catalogue_read.find_files, community, asked, after=after, limit=limit
        )
        count += len(page.files)
        after = page.next
        if after is None:
            break
    return PlannedCount(min(count, FILES_MAX), exact=count <= FILES_MAX)
