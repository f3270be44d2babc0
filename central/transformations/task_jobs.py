"""Makes a job from a template and a group. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from pilotage.proto.catalogue import BadCatalogueField, KeyType, Value, check_type, checked_metadata
from pilotage.proto.documents.job import DataInput, DataOutput, Job, JobData
from pilotage.proto.documents.transformation import GROUP_MAX, InputSpec, Transformation
from pilotage.proto.problems import Code
from pilotage.proto.storages import INPUTS_WORD

from ..decode import decode
from ..errors import Refused
from ..jobs.definition.checks import check, check_characters
from ..jobs.definition.rendering import fill, uses_in
from .grouping import Group, WaitingInput, common
from .missing_outputs import MISSING_KEY

OURS: Final = frozenset({"task", "transformation"})
OF_ONE_INPUT: Final = ("count", "bytes", "site", "key")  # rules for files of one kind

TaskValues = Mapping[str, str | int | float | bool]


@dataclass(frozen=True)
class TaskDraft:
    """A group that becomes a task: its job, and its files."""

    job: Job
    group: Group
    side: tuple[WaitingInput, ...]

    @property
    def files(self) -> Group:
        return (*self.group, *self.side)


class Template:
    """The checked job of a transformation, with its names in braces."""

    def __init__(self, doc: Transformation, outputs: str, job: Job | None = None) -> None:
        """Check the template; `outputs` is the dataset of its outputs, `job` replaces the
        document's.

        Raises Refused for invalid braces.
        """
        self._doc = doc
        self._job = _with_data(doc, job or doc.job, outputs)
        self.names = frozenset(uses_in(self._job))
        self._same: Job | None = None  # the job of all tasks, if it does not depend on them

    @property
    def data(self) -> JobData | None:
        """The data of the jobs, before values of tasks are filled in."""
        return self._job.data

    @property
    def asks_for_metadata(self) -> bool:
        """Return whether the job depends on common metadata of files."""
        return bool(self.names - OURS or self._doc.inherit)

    def job(self, *, transformation_id: int, number: int, metadata: TaskValues) -> Job:
        """Return the job of a task. Raises LookupError naming a key that the group lacks.

        Raises Refused if a value makes the job invalid, such as a name that is too long. The job
        has the queries of its inputs; the files themselves are stored beside it.
        """
        metadata = {**metadata, **self._row(number)}
        absent = self.names - OURS - metadata.keys()
        if absent:
            raise LookupError(
                f"the job uses {{{min(absent)}}}, but the files of task {number} have no such "
                "metadata in common"
            )
        if not self.names and not self._doc.inherit:
            if self._same is None:
                self._same = _readable(self._made({}, number, transformation_id))
            return self._same
        return _readable(self._made(metadata, number, transformation_id))

    def _row(self, number: int) -> TaskValues:
        """Return the values of a task, from 1 on. Raises LookupError if there are none."""
        rows = self._doc.rows
        if not rows:
            return {}
        if number > len(rows):
            raise LookupError(
                f"there are rows of values for {len(rows)} tasks, but none for task {number}"
            )
        return rows[number - 1]

    def _made(self, metadata: TaskValues, number: int, transformation_id: int) -> Job:
        job = self._job
        if self.names or job.data is not None:
            given = {name: _word(value) for name, value in metadata.items() if name in self.names}
            given |= {"task": number, "transformation": transformation_id}
            job = fill(job, given)
        if job.data is None or not self._doc.inputs:
            return job
        own = job.data.inputs[: -len(self._doc.inputs)]
        inputs = (*own, *map(_described, self._doc.inputs))
        outputs = self._inheriting(job.data.outputs, metadata)
        data = msgspec.structs.replace(job.data, inputs=inputs, outputs=outputs)
        return msgspec.structs.replace(job, data=data)

    def _inheriting(
        self, outputs: tuple[DataOutput, ...], metadata: TaskValues
    ) -> tuple[DataOutput, ...]:
        """Return outputs with the inherited keys; those of an output itself win."""
        found = {key: _literal(metadata[key]) for key in self._doc.inherit if key in metadata}
        if not found:
            return outputs
        given = self._doc.job.data.outputs if self._doc.job.data is not None else ()
        return tuple(
            msgspec.structs.replace(one, metadata={**one.metadata, **_without(found, own)})
            for one, own in zip(outputs, given, strict=True)
        )


def _without(found: Mapping[str, Value], own: DataOutput) -> dict[str, Value]:
    return {key: value for key, value in found.items() if key not in own.metadata}


def _literal(value: Value) -> Value:
    """Return a value whose braces stay as they are when the job is rendered."""
    return value.replace("{", "{{").replace("}", "}}") if isinstance(value, str) else value


def _readable(job: Job) -> Job:
    """Return a job that pilots can decode: its bounds are checked again."""
    decode(msgspec.json.encode(job), Job, where="job")
    return job


def _with_data(doc: Transformation, job: Job, outputs: str) -> Job:
    """Return the template with the transformation's inputs, and the dataset of its outputs."""
    if job.data is None and not doc.inputs:
        return job
    data = job.data or JobData()
    escaped = outputs.replace("{", "{{").replace("}", "}}")
    return msgspec.structs.replace(
        job,
        data=msgspec.structs.replace(
            data,
            inputs=(*data.inputs, *(DataInput(did="a:b", to=one.to) for one in doc.inputs)),
            outputs=tuple(
                one
                if one.did
                else msgspec.structs.replace(
                    one,
                    dataset=one.dataset or escaped,
                    metadata={**doc.metadata, **one.metadata},
                )
                for one in data.outputs
            ),
        ),
    )


def _described(one: InputSpec) -> DataInput:
    return DataInput(query=one.query, files_max=GROUP_MAX, to=one.to)


def _word(value: str | float | bool) -> str | int | float:
    return str(value).lower() if isinstance(value, bool) else value


def task_of(
    template: Template, *, transformation_id: int, number: int, group: Group, side: Group
) -> TaskDraft:
    """Return the task of a group. Raises LookupError naming a key without a common value."""
    alike = common(group) if template.asks_for_metadata else {}
    job = template.job(transformation_id=transformation_id, number=number, metadata=alike)
    return TaskDraft(job, group, side)


def marked(job: Job, missing: str) -> Job:
    """Return a job whose outputs name the missing inputs in their metadata."""
    if job.data is None:
        return job
    outputs = tuple(
        one
        if one.did
        else msgspec.structs.replace(one, metadata={**one.metadata, MISSING_KEY: missing})
        for one in job.data.outputs
    )
    return msgspec.structs.replace(job, data=msgspec.structs.replace(job.data, outputs=outputs))


def checked(doc: Transformation, outputs: str = "a:b") -> Template:
    """Return the template of a document. Raises Refused for faults that its types allow."""
    if any(INPUTS_WORD in word and word != INPUTS_WORD for word in doc.job.command):
        field = "job.command"
        why = f"{field}: {INPUTS_WORD} must be an argument by itself: it becomes one for each file"
        raise Refused(Code.INVALID, why, field=field)
    if doc.job.after:
        field = "job.after"
        why = f"{field}: a transformation decides when its jobs run: leave it out"
        raise Refused(Code.INVALID, why, field=field)
    check(doc.job, "job")
    check_characters(msgspec.to_builtins(doc.job), "job")
    _check_inputs(doc)
    try:
        checked_metadata(doc.metadata)
    except BadCatalogueField as why:
        raise Refused(Code.INVALID, str(why), field=why.field) from None
    template = Template(doc, outputs)
    if not doc.inputs:
        alike = set(doc.rows[0]).intersection(*doc.rows) if doc.rows else set[str]()
        _check_known(template.names - OURS - alike, "job")
    return template


def metadata_of(doc: Transformation) -> dict[str, Mapping[str, Value]]:
    """Return the metadata of outputs, by place in the document; places without any are omitted."""
    found: dict[str, Mapping[str, Value]] = {"metadata": doc.metadata}
    for i, one in enumerate(doc.job.data.outputs if doc.job.data is not None else ()):
        found[f"job.data.outputs[{i}].metadata"] = one.metadata
    return {where: metadata for where, metadata in found.items() if metadata}


def check_types(metadata: Mapping[str, Value], keys: Mapping[str, KeyType], where: str) -> None:
    """Raise BadCatalogueField for a value that its key cannot have here.

    Values with braces are known later, and a value with a new key sets the key's type.
    """
    for key, value in metadata.items():
        if key in keys and not (isinstance(value, str) and "{" in value):
            check_type(key, value, keys[key], where)


def _check_known(unknown: frozenset[str], where: str) -> None:
    if unknown:
        text = f"{where}: {{{min(unknown)}}} is unknown: a job without inputs can use "
        raise Refused(Code.INVALID, text + "{task} and {transformation}", field=where)


def _check_inputs(doc: Transformation) -> None:
    once = [one for one in doc.inputs if one.use == "once"]
    if doc.by_run:
        if doc.inputs or doc.tasks:
            why = "by_run: the run of a document makes the tasks: give neither inputs nor tasks"
            raise Refused(Code.INVALID, why, field="by_run")
        return
    if bool(doc.inputs) == bool(doc.tasks):
        why = "tasks: give either inputs or the number of tasks"
        raise Refused(Code.INVALID, why, field="tasks")
    if doc.rows and len(doc.rows) != doc.tasks:
        why = f"rows: found {len(doc.rows)}, expected one for each of {doc.tasks} tasks"
        raise Refused(Code.INVALID, why, field="rows")
    if doc.inputs and not once:
        raise Refused(Code.INVALID, "inputs: one of them must be used once", field="inputs")
    names = [one.name for one in doc.inputs]
    for i, one in enumerate(doc.inputs):
        where = f"inputs[{i}]"
        if names.index(one.name) != i:
            text = f"{where}.name: {one.name!r} is also the name of inputs[{names.index(one.name)}]"
            raise Refused(Code.INVALID, text, field=f"{where}.name")
        if not one.count and one.use == "once":
            text = (
                f"{where}.count: found 0, expected at least 1: 0 (all files) is for shared inputs"
            )
            raise Refused(Code.INVALID, text, field=f"{where}.count")
        if not one.query and not one.from_:
            why = f"{where}.query: give a query, or the transformation that it is from"
            raise Refused(Code.INVALID, why, field=f"{where}.query")
    _check_grouping(doc, once)


def _share_folder(inputs: Sequence[InputSpec]) -> bool:
    """Return whether several inputs share a folder, so that the job sees them as one kind."""
    return bool(inputs[0].to) and len({one.to for one in inputs}) == 1


def _check_grouping(doc: Transformation, once: Sequence[InputSpec]) -> None:
    rule, where = doc.grouping, "grouping"
    wrong = ""
    if rule.rule == "bytes" and not rule.bytes_max:
        wrong, where = "the rule bytes needs the most bytes of a group", "grouping.bytes_max"
    elif rule.rule == "key" and not rule.keys:
        wrong, where = "the rule key needs the keys with equal values", "grouping.keys"
    elif rule.rule == "join" and not all(one.on or rule.keys for one in doc.inputs):
        wrong, where = "the rule join needs keys, here or as `on` of each input", "grouping.keys"
    elif len(once) > 1 and rule.rule in OF_ONE_INPUT and not _share_folder(once):
        wrong = f"the rule {rule.rule} takes one input that is used once, or several in one folder"
        wrong, where = f"{wrong}: give each the same `to`", "grouping.rule"
    elif rule.partial == "after" and not rule.after_s:
        wrong, where = "give the seconds that a partial group waits", "grouping.after_s"
    elif not doc.inputs and rule.size > 1:
        wrong, where = "without inputs there are no groups", "grouping.size"
    if wrong:
        raise Refused(Code.INVALID, f"{where}: {wrong}", field=where)
