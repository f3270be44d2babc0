"""From a template and a group to a job. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from pilotage.proto.job import Job
from pilotage.proto.problems import Code
from pilotage.proto.transformation import Transformation

from ..errors import Refused
from ..jobs.checking import check, check_characters
from ..jobs.rendering import fill, uses_in
from .grouping import File, Group, common

INPUTS: Final = "{inputs}"  # an argument that is this alone becomes one for each input
OURS: Final = frozenset({"task", "transformation", "inputs"})

Values = Mapping[str, str | int | float | bool]


class Template:
    """The job of a transformation, checked, with its braces."""

    def __init__(self, job: Job) -> None:
        """Raises Refused for braces that do not read."""
        self._job, self.names = job, frozenset(uses_in(job))

    def job(self, *, transformation_id: int, number: int, metadata: Values) -> Job:
        """Return the job of a task. Raises LookupError naming a key that the group has not."""
        if not self.names:
            return self._job
        absent = self.names - OURS - metadata.keys()
        if absent:
            raise LookupError(
                f"the job uses {{{min(absent)}}}, and the files of task {number} have no such "
                "metadata in common"
            )
        given = {name: _word(value) for name, value in metadata.items() if name in self.names}
        given |= {"task": number, "transformation": transformation_id, "inputs": INPUTS}
        return fill(self._job, given)


def _word(value: str | float | bool) -> str | int | float:
    return str(value).lower() if isinstance(value, bool) else value


@dataclass(frozen=True)
class TaskOf:
    """A group that becomes a task: its job, and what it takes."""

    job: Job
    group: Group
    side: tuple[File, ...]


def task_of(
    template: Template, *, transformation_id: int, number: int, group: Group, side: Group
) -> TaskOf:
    """Return the task of a group. Raises LookupError naming a key that its files have not alike."""
    job = template.job(transformation_id=transformation_id, number=number, metadata=common(group))
    return TaskOf(job, group, side)


def checked(doc: Transformation) -> Template:
    """Return the template of a document, or raise Refused: what the types cannot say is checked."""
    if "inputs" in uses_in(doc.job) and any(
        "{inputs}" in word and word != INPUTS for word in doc.job.command
    ):
        field = "job.command"
        why = f"{field}: {INPUTS} stands alone in an argument, which becomes one for each input"
        raise Refused(Code.INVALID, why, field=field)
    check(doc.job, "job")
    check_characters(msgspec.to_builtins(doc.job), "job")
    template = Template(doc.job)
    _check_inputs(doc)
    if not doc.inputs:
        _check_known(template.names - OURS, "job")
        if "inputs" in template.names:
            raise Refused(Code.INVALID, f"job: there are no {INPUTS} without inputs", field="job")
    return template


def _check_known(unknown: Sequence[str] | frozenset[str], where: str) -> None:
    if unknown:
        said = f"{where}: {{{min(unknown)}}} is not known here: without inputs there are "
        raise Refused(Code.INVALID, said + "{task} and {transformation}", field=where)


def _check_inputs(doc: Transformation) -> None:
    once = [one for one in doc.inputs if one.use == "once"]
    if bool(doc.inputs) == bool(doc.tasks):
        why = "tasks: give either inputs, or how many tasks there are"
        raise Refused(Code.INVALID, why, field="tasks")
    if doc.inputs and not once:
        raise Refused(Code.INVALID, "inputs: one of them must be used once", field="inputs")
    names = [one.name for one in doc.inputs]
    for i, one in enumerate(doc.inputs):
        where = f"inputs[{i}]"
        if names.index(one.name) != i:
            said = f"{where}.name: {one.name!r} is also that of inputs[{names.index(one.name)}]"
            raise Refused(Code.INVALID, said, field=f"{where}.name")
        if not one.query and not one.from_:
            why = f"{where}.query: give a query, or the transformation that it is from"
            raise Refused(Code.INVALID, why, field=f"{where}.query")
    _check_grouping(doc, len(once))


def _check_grouping(doc: Transformation, once: int) -> None:
    rule, where = doc.grouping, "grouping"
    wrong = ""
    if rule.rule == "bytes" and not rule.bytes_max:
        wrong, where = "the rule bytes needs how many a group may have", "grouping.bytes_max"
    elif rule.rule == "key" and not rule.keys:
        wrong, where = "the rule key needs the keys whose values are equal", "grouping.keys"
    elif rule.rule == "join" and not all(one.on or rule.keys for one in doc.inputs):
        wrong, where = "the rule join needs keys, here or as `on` of each input", "grouping.keys"
    elif once > 1 and rule.rule in ("count", "bytes", "site", "key"):
        wrong, where = f"the rule {rule.rule} has one input that is used once", "grouping.rule"
    elif rule.partial == "after" and not rule.after_s:
        wrong, where = "say how long a group that is not full waits", "grouping.after_s"
    elif rule.partial == "parent_done" and not doc.inputs and doc.grouping.size > 1:
        wrong, where = "without inputs there are no groups", "grouping.size"
    if wrong:
        raise Refused(Code.INVALID, f"{where}: {wrong}", field=where)
