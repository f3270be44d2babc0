"""What a production would be: how many tasks and files at each step, by what the catalogue has."""

from collections.abc import Mapping
from functools import partial
from typing import Final

import msgspec

from pilotage.proto.api import PAGE_MAX
from pilotage.proto.api_productions import ProductionPreview, StepPreview
from pilotage.proto.catalogue import DATASET_KEY, Value, parse_query
from pilotage.proto.transformation import Transformation
from pilotage.proto.workflow import StepInput

from ..store.catalogue import CatalogueStore, Place
from ..workflows.flow import File
from ..workflows.plan import plan
from .aside import aside
from .definition import Definition

FILES_MAX: Final = 10_000  # of one port that are counted


async def preview(
    catalogue: CatalogueStore,
    community: str,
    definition: Definition,
    docs: Mapping[str, Transformation],
    *,
    name: str,
    sha256: str,
) -> ProductionPreview:
    """Return what a checked definition would be."""
    files: dict[str, File] = {}
    for step in definition.workflow.steps.values():
        for given in step.inputs.values():
            if given.is_catalogue:
                files.update(await _files(catalogue, community, given))
    workflow = definition.workflow
    found = await aside(workflow, partial(plan, workflow, list(files.values())))
    steps = [
        StepPreview(
            step=one.step,
            name=docs[one.step].name,
            tasks=one.tasks.count,
            exact=one.tasks.exact,
            inputs={port: amount.count for port, amount in one.inputs.items()},
            outputs={port: amount.count for port, amount in one.outputs.items()},
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


async def _files(catalogue: CatalogueStore, community: str, given: StepInput) -> dict[str, File]:
    """Return the files of the catalogue that a port asks for, the first of them."""
    dataset = {DATASET_KEY: given.dataset} if given.dataset else {}
    asked = parse_query({**given.query, **given.where, **dataset})
    found: dict[str, File] = {}
    after: Place | None = None
    while len(found) < FILES_MAX:
        page = await catalogue.find_files(community, asked, after=after, limit=PAGE_MAX)
        for row in page.files:
            metadata: dict[str, Value] = {**row.metadata}
            if asked.dataset is not None:
                metadata[DATASET_KEY] = str(asked.dataset)
            found[str(row.did)] = File(str(row.did), str(row.did), row.bytes, metadata)
        after = page.next
        if after is None:
            break
    return found
