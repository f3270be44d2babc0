"""Turns a document into its stored form: ids and datasets for names, queries checked. Pure."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from pilotage.proto.catalogue import (
    DATASET_KEY,
    BadCatalogueField,
    Condition,
    Did,
    KeyType,
    Op,
    Query,
    parse_query,
)
from pilotage.proto.decoding.complaints import short
from pilotage.proto.documents.transformation import Transformation
from pilotage.proto.ids import ID_MAX
from pilotage.proto.problems import Code

from ..catalogue.checks import check_scope_of
from ..catalogue.rights import of_group
from ..errors import Refused
from ..rucio.files import RucioEntry
from ..rucio.outgoing import check_going_out
from .groupings.rule_names import rule_of
from .live_state import outputs_dataset
from .task_jobs import OURS, check_types, checked, metadata_of


class ParentTransformation(NamedTuple):
    """A transformation whose outputs are inputs of another one."""

    transformation_id: int
    group: str
    doc: Transformation


def resolved(
    doc: Transformation, keys: Mapping[str, KeyType], parents: Mapping[str, ParentTransformation]
) -> Transformation:
    """Return the document with `from` as ids, and with the dataset of those files.

    `keys` are the metadata keys of files. Raises Refused with the wrong field.
    """
    inputs = list(doc.inputs)
    try:
        for i, spec in enumerate(doc.inputs):
            where = f"inputs[{i}]"
            if spec.from_:
                parent = parents[spec.from_]
                if DATASET_KEY in spec.query:
                    raise BadCatalogueField(
                        f"{where}.query.dataset",
                        spec.query[DATASET_KEY],
                        "none: `from` sets the dataset of the files",
                    )
                dataset = outputs_dataset(parent.group, parent.transformation_id, parent.doc)
                inputs[i] = msgspec.structs.replace(
                    spec,
                    from_=str(parent.transformation_id),
                    query={**spec.query, DATASET_KEY: str(dataset)},
                )
            query = parse_query(inputs[i].query, f"{where}.query")
            if not spec.from_:  # outputs of a parent get their keys only when they are made
                query.check(dict(keys), f"{where}.query")
                _check_keys(spec.on, keys, f"{where}.on")
                if spec.use == "once" and not spec.on:
                    _check_keys(doc.grouping.keys, keys, "grouping.keys")
        for where, metadata in metadata_of(doc).items():
            check_types(metadata, keys, where)
        if doc.outputs_dataset:
            outputs_dataset("", 0, doc)
    except BadCatalogueField as why:
        field = f"document.{why.field}"
        raise Refused(Code.INVALID, f"document.{why}", field=field) from None
    return msgspec.structs.replace(doc, inputs=tuple(inputs))


def check_name(name: str, field: str) -> None:
    """Raise Refused for a name that looks like an id, which requests would take for one."""
    if name.isascii() and name.isdecimal():
        why = f"{field}: found {short(name)!r}, expected a name that is not a number"
        raise Refused(Code.INVALID, why, field=field)


def check_template(doc: Transformation, keys: Mapping[str, KeyType], outputs: str) -> None:
    """Raise Refused for a name in braces that is not a key of files: no task could be made.

    The outputs of another transformation get their keys only when they are made.
    """
    if not doc.inputs or any(one.from_ for one in doc.inputs):
        return
    try:
        _check_keys(sorted(checked(doc, outputs).names - OURS), keys, "job")
    except BadCatalogueField as why:
        raise Refused(Code.INVALID, f"document.{why}", field="document.job") from None


def check_document(
    doc: Transformation,
    group: str,
    keys: Mapping[str, KeyType],
    *,
    community: str,
    rucio: Mapping[str, RucioEntry],
) -> None:
    """Raise Refused if a resolved document cannot be a transformation of `group`.

    Servers of `rucio` must be able to hold the names of outputs that go out to them.
    """
    template = checked(doc, _checked_outputs(group, doc))
    if template.data is not None:
        check_going_out(rucio, community, template.data, group, "document.job.data")
    outputs = doc.job.data.outputs if doc.job.data is not None else ()
    for i, out in enumerate(outputs):
        check_scope_of(out, group, f"document.job.data.outputs[{i}]")
    if "input" in template.names and "input" not in keys:
        why = "job: {input} is not a key of files: did you mean {inputs}?"
        raise Refused(Code.INVALID, why, field="document.job")
    rule_of(doc.grouping.rule)


def _check_keys(given: Sequence[str], known: Mapping[str, KeyType], where: str) -> None:
    """Raise BadCatalogueField for a key that no file has: tasks would wait for it forever."""
    Query(tuple(Condition(key, Op.EXISTS, True) for key in given)).check(dict(known), where)


def _checked_outputs(group: str, doc: Transformation) -> str:
    """Return the dataset of the outputs. Raises Refused for an invalid one."""
    text = str(outputs_dataset(group, ID_MAX, doc))
    if doc.job.data is not None and any(not one.did for one in doc.job.data.outputs):
        try:
            Did.parse(text, "outputs_dataset")
        except BadCatalogueField as why:
            raise Refused(
                Code.INVALID, f"document.{why}: name one", field="document.outputs_dataset"
            ) from None
    scope = text.partition(":")[0]
    if not of_group(scope, group):
        right = f"found {scope!r}, expected a scope of the job's group: {group}, or {group}.…"
        words = f"document.outputs_dataset: {right}"
        raise Refused(Code.INVALID, words, field="document.outputs_dataset")
    return text
