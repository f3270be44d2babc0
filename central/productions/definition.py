"""The definition of a production, packed for a rerun: equal bytes give equal jobs. Pure."""

import hashlib
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final, NamedTuple

import msgspec

from pilotage.proto.api.productions import Written
from pilotage.proto.catalogue import KeyType
from pilotage.proto.decoding.complaints import short
from pilotage.proto.documents.cwl import CwlDocument
from pilotage.proto.documents.job import Input
from pilotage.proto.documents.transformation import Transformation
from pilotage.proto.documents.workflow import Workflow
from pilotage.proto.problems import Code

from ..catalogue.input_resolution import outputs_to
from ..catalogue.storages import StorageBook
from ..errors import Refused
from ..rucio.files import RucioEntry
from ..transformations.document_resolution import ParentTransformation, check_document, resolved
from ..workflows import graph
from ..workflows.check import faults as faults_in
from ..workflows.translation import obstacles, to_transformations
from .cwl_steps import cwl_documents
from .record import STEPS_MAX

FAULTS_SHOWN: Final = 20
NAME_MAX: Final = 128  # of a transformation


class Definition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A workflow with all of its files, the types of its elements resolved, parameters chosen."""

    workflow: Workflow
    files: dict[str, Input] = {}  # sent with jobs, by their path in the workflow
    images: dict[str, str] = {}  # digests, if they were known
    cwl: CwlDocument | None = None  # its steps only show the tools of this document
    reuse: bool = True  # results that are known
    is_replaced: bool = False  # it only shows steps that a correction has replaced


class Details(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Facts about a production that are stored only to be shown."""

    written: Written = Written()
    version: str = ""  # of pilotage
    priority: int | None = None  # at the submission


class StoredStep(NamedTuple):
    """A step in the form in which it is stored."""

    step: str
    parents: tuple[int, ...]  # places of the steps that feed it
    transformation_id: int
    doc: Transformation


_decode = msgspec.json.Decoder(Definition).decode
_details = msgspec.json.Decoder(Details).decode


def packed(definition: Definition) -> tuple[bytes, str]:
    """Return the definition in its stored form, and the SHA-256 of that."""
    ordered = msgspec.structs.replace(
        definition,
        files=dict(sorted(definition.files.items())),
        images=dict(sorted(definition.images.items())),
    )
    body = msgspec.json.encode(ordered)
    return body, hashlib.sha256(body).hexdigest()


def unpacked(body: bytes) -> Definition:
    """Return the definition in a stored form."""
    return _decode(body)


def details_of(body: bytes) -> Details:
    """Return the details in their stored form."""
    return _details(body)


def check_definition(definition: Definition) -> None:
    """Raise Refused with the first faults if a definition cannot run on pilots."""
    workflow = definition.workflow
    if len(workflow.steps) > STEPS_MAX:
        why = f"workflow: found {len(workflow.steps)} steps, at most {STEPS_MAX}"
        raise Refused(Code.INVALID, why, field="workflow.steps")
    if definition.cwl is not None:
        return
    faults = list(islice(faults_in(workflow), FAULTS_SHOWN + 1)) or obstacles(workflow)
    if faults:
        lines = [str(fault) for fault in faults[:FAULTS_SHOWN]]
        if len(faults) > FAULTS_SHOWN:
            lines.append("and more")
        first = faults[0]
        place = ["workflow", *(("steps", first.step) if first.step else ()), *first.place]
        raise Refused(Code.INVALID, "\n".join(lines), field=".".join(map(str, place)))
    named = {path for step in workflow.steps.values() for path in step.files}
    for name, step in workflow.steps.items():
        for path in step.files:
            if path not in definition.files:
                why = f"step {name}: files: {short(path)!r} was not uploaded with the workflow"
                raise Refused(Code.INVALID, why, field="files")
    for path in definition.files:
        if path not in named:
            why = f"files: no step names {short(path)!r}"
            raise Refused(Code.INVALID, why, field="files")


def check_outputs(workflow: Workflow, book: StorageBook) -> None:
    """Raise Refused if a step has no storage for its files: it could make no task."""
    for name, step in workflow.steps.items():
        for port, out in step.outputs.items():
            if not out.value and not any("{" in one for one in out.storages):
                field = f"workflow.steps.{name}.outputs.{port}.storages"
                try:
                    outputs_to(book, out.storages, f"outputs.{port}.storages")
                except Refused as why:
                    raise Refused(why.code, f"step {name}: {why.message}", field=field) from None


def documents(definition: Definition, name: str) -> dict[str, Transformation]:
    """Return the document of each step for a production of that name, parents first."""
    workflow = msgspec.structs.replace(definition.workflow, name=name)
    if definition.cwl is not None:
        return cwl_documents(workflow)
    found: dict[str, Transformation] = {}
    for step, doc in to_transformations(workflow).items():
        if len(doc.name) > NAME_MAX:
            why = f"step {step}: {short(doc.name)!r} is longer than {NAME_MAX} characters"
            raise Refused(Code.INVALID, f"{why}: choose a shorter name", field="name")
        inputs = tuple(definition.files[path] for path in workflow.steps[step].files)
        job = msgspec.structs.replace(doc.job, inputs=inputs)
        doc = msgspec.structs.replace(doc, job=job)
        if doc.reuse:
            digest = definition.images.get(job.image, "")
            versions = {**doc.versions, job.image: digest} if digest else doc.versions
            doc = msgspec.structs.replace(doc, reuse=definition.reuse, versions=versions)
        found[step] = doc
    return found


def laid(
    definition: Definition,
    docs: Mapping[str, Transformation],
    *,
    group: str,
    ids: Mapping[str, int],
    keys: Mapping[str, KeyType],
    community: str,
    rucio: Mapping[str, RucioEntry],
) -> list[StoredStep]:
    """Return the steps in their stored form, with the ids of transformations in place of names.

    Raises Refused with the step and its fault.
    """
    places = {step: place for place, step in enumerate(docs)}
    parents = {doc.name: ParentTransformation(ids[step], group, doc) for step, doc in docs.items()}
    found: list[StoredStep] = []
    for step, doc in docs.items():
        try:
            whole = resolved(doc, keys, parents)
            check_document(whole, group, keys, community=community, rucio=rucio)
        except Refused as why:
            field = f"workflow.steps.{step}"
            raise Refused(why.code, f"step {step}: {why.message}", field=field) from None
        fed_by = tuple(places[one] for one in graph.parents(definition.workflow, step))
        found.append(StoredStep(step, fed_by, ids[step], whole))
    return found


def numbered(docs: Mapping[str, Transformation], first: int) -> dict[str, int]:
    """Return ids of new transformations for all steps, from `first` on."""
    return {step: first + place for place, step in enumerate(docs)}


def shown_definition(definition: Definition) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the workflow and the files as plain values."""
    workflow: dict[str, Any] = msgspec.to_builtins(definition.workflow)
    files: dict[str, Any] = msgspec.to_builtins(definition.files)
    return workflow, files
