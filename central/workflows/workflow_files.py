"""Reads and checks workflow files of all forms, and the files of a folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pilotage.proto.catalogue import DATASET_KEY, BadCatalogueField, checked_metadata
from pilotage.proto.decoding.nesting import loads
from pilotage.proto.storages import META_SUFFIX

from . import cta_form, yaml_form
from .check import check
from .cta_types import element_types
from .errors import BadWorkflow
from .flow import WorkflowFile
from .source_lines import WorkflowSource, load, read_text

FILES_MAX = 1_000_000


def read_workflow(
    path: Path | str, chosen: Mapping[str, str] | None = None, *, types: Sequence[Path] = ()
) -> WorkflowSource:
    """Return the workflow of a file in any form, read and checked.

    `chosen` has values of its parameters as text; `types` has files with element types, or folders
    of such files, besides our own. Raises BadWorkflow with all faults.
    """
    text = read_text(Path(path))
    found = load(text)
    if cta_form.STEPS in found:
        if chosen:
            name = next(iter(chosen))
            raise BadWorkflow(
                [f"{path}: there is no parameter {name}: this form has no parameters"]
            )
        written = cta_form.parse(text, found, element_types(types))
    else:
        written = yaml_form.parse(text, found, chosen or {})
    faults = check(written.workflow)
    if faults:
        raise written.told(faults)
    return written


def files_in(folder: Path) -> list[WorkflowFile]:
    """Return the files below a folder that have metadata, in `NAME.meta.json` beside each.

    The key `dataset` names the dataset of a file. Raises BadWorkflow.
    """
    found: list[WorkflowFile] = []
    for said in sorted(folder.rglob(f"*{META_SUFFIX}")):
        path = said.with_name(said.name.removesuffix(META_SUFFIX))
        if not path.is_file():
            raise BadWorkflow([f"{said}: there is no file {path.name} beside it"])
        try:
            own: dict[str, Any] = loads(said.read_bytes(), dict[str, Any])
            dataset = own.pop(DATASET_KEY, "")
            metadata = checked_metadata(own)
        except (OSError, msgspec.DecodeError) as why:
            raise BadWorkflow([f"{said}: expected a mapping in JSON: {why}"]) from None
        except BadCatalogueField as why:
            raise BadWorkflow([f"{said}: {why}"]) from None
        if dataset:
            metadata[DATASET_KEY] = str(dataset)
        size = path.stat().st_size
        found.append(WorkflowFile(path.name, str(path.absolute()), size, metadata))
        if len(found) > FILES_MAX:
            raise BadWorkflow([f"{folder}: has more than {FILES_MAX} files with metadata"])
    if not found:
        raise BadWorkflow(
            [f"{folder}: no file below it has metadata: write NAME{META_SUFFIX} beside each file"]
        )
    return found
