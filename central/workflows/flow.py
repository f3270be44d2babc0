"""Finds the tasks to run as files and values come: a whole workflow in memory. Pure.

The caller gets the first tasks from `begin`, and reports how each ended; each answer has the tasks
that can run now. A step is complete when its parents will bring nothing more, and all of its tasks
have ended. After a failed task, steps that need all of its step's outputs do not run, unless
`allow_partial` lets them.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pilotage.proto.catalogue import DATASET_KEY, Metadata, Query, Value, parse_query
from pilotage.proto.documents.transformation import InputSpec
from pilotage.proto.documents.workflow import Source, Step, StepInput, Workflow

from ..transformations.grouping import (
    GroupingSpec,
    WaitingInput as Waiting,
    grouped,
    in_common,
    same,
)
from ..transformations.groupings.rule_names import rule_of
from ..transformations.missing_outputs import MissingOutputs, below, joined
from . import graph
from .metadata_keys import query_of


@dataclass(frozen=True)
class WorkflowFile:
    """A file of the catalogue, or an output of a task."""

    name: str
    path: str
    bytes: int = 0
    metadata: Mapping[str, Value] = field(default_factory=dict[str, Value])  # with its dataset
    step: str = ""  # that made it; empty: a file of the catalogue
    port: str = ""
    task: int = 0


@dataclass(frozen=True)
class WorkflowTask:
    """A job to run: its inputs, and the metadata that all of its files share."""

    step: str
    number: int  # in its step, from 1 on
    files: Mapping[str, tuple[WorkflowFile, ...]] = field(
        default_factory=dict[str, tuple[WorkflowFile, ...]]
    )
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    common: Mapping[str, Value] = field(default_factory=dict[str, Value])


@dataclass
class StepCounts:
    """The progress of a step."""

    made: int = 0
    done: int = 0
    failed: int = 0
    skipped: int = 0  # `when` was not met
    total: int | None = None  # the final number of tasks, once it is known

    @property
    def ended(self) -> int:
        return self.done + self.failed + self.skipped


class _State:
    """A step at work."""

    def __init__(self, name: str, workflow: Workflow) -> None:
        self.name, self.step = name, workflow.steps[name]
        self.once = graph.once_ports(workflow, self.step)
        self.counts = StepCounts()
        self.grouping = graph.grouping_of(workflow, self.step)
        self.specs = tuple(spec_of(self.step, port) for port in self.once)
        self.files: list[WorkflowFile] = []  # files to be grouped, by number
        self.waiting: list[Waiting] = []  # those that are in no task yet
        self.fresh = False  # some came after the last grouping
        self.kept: dict[str, list[WorkflowFile]] = {}  # of ports that need all files, by port
        self.seen: dict[str, int] = {}  # number of files that came through a port
        self.made: dict[str, list[WorkflowFile]] = {port: [] for port in self.step.outputs}
        self.values: dict[str, dict[int, Any]] = {port: {} for port in self.step.outputs}
        self.shape: tuple[int, ...] = ()
        self.begun = False  # tasks that are made all at once exist
        self.complete = False
        self.sound = True  # no task failed, here or above
        self.failed = 0  # files that are used once, in failed tasks
        self.missing = MissingOutputs()  # of its outputs, once it is complete


class WorkflowRun:
    """The state of one run of a checked workflow."""

    def __init__(self, workflow: Workflow, catalogue: Sequence[WorkflowFile] = ()) -> None:
        self._workflow = workflow
        self._order = graph.order(workflow)
        self._states = {name: _State(name, workflow) for name in workflow.steps}
        self._readers: dict[Source, list[tuple[str, str]]] = {}
        self._queries: dict[tuple[str, str], Query] = {}
        for name, step in workflow.steps.items():
            for port, given in step.inputs.items():
                self._queries[name, port] = query_of(given.where)
                for source in given.sources:
                    self._readers.setdefault(source, []).append((name, port))
        for name, step in workflow.steps.items():
            for port, given in step.inputs.items():
                if given.is_catalogue:
                    for file in matching(given, catalogue):
                        self._take(name, port, file)

    # -- events -----------------------------------------------------------------------------------

    def begin(self) -> list[WorkflowTask]:
        """Return the tasks that can run from the start."""
        return self._advance()

    def done(
        self,
        task: WorkflowTask,
        files: Mapping[str, Sequence[WorkflowFile]],
        values: Mapping[str, Any],
    ) -> list[WorkflowTask]:
        """Note the outputs of a task; return the tasks that can run now."""
        state = self._states[task.step]
        state.counts.done += 1
        for port, value in values.items():
            state.values[port][task.number] = value
        for port, made in files.items():
            state.made[port] += made
            for reader in self._readers.get(Source(step=task.step, port=port), ()):
                for file in made:
                    self._take(*reader, file)
        return self._advance()

    def failed(self, task: WorkflowTask) -> list[WorkflowTask]:
        """Note that a task has failed for good; return the tasks that can run now."""
        state = self._states[task.step]
        state.counts.failed += 1
        state.failed += sum(len(task.files[port]) for port in state.once)
        state.sound = False
        return self._advance()

    # -- state ------------------------------------------------------------------------------------

    def counts(self) -> Mapping[str, StepCounts]:
        """Return the progress of each step, parents first."""
        return {name: self._states[name].counts for name in self._order}

    def is_complete(self) -> bool:
        """Return whether all steps are complete and no task has failed."""
        return all(state.complete and state.sound for state in self._states.values())

    def starved(self) -> list[str]:
        """Return the steps that did not run to their end because an earlier task failed."""
        return [
            name
            for name in self._order
            if self._states[name].complete
            and not self._states[name].sound
            and not self._states[name].counts.failed
            and not self._may_close(self._states[name])
        ]

    def takes_all(self, step: str) -> bool:
        """Return whether a step takes everything once its parents are complete."""
        state = self._states[step]
        whole = any(port not in state.once for port in _fed_ports(state.step))
        rule = state.grouping
        if not state.once or whole or rule.rule == "all":
            return True
        return rule.partial != "never" and not (rule.rule == "count" and rule.size == 1)

    def missing(self, step: str) -> MissingOutputs:
        """Return the missing inputs of a step whose parents are complete."""
        state = self._states[step]
        return self._above(state) if self._closed(state) else MissingOutputs()

    def left(self) -> Mapping[tuple[str, str], int]:
        """Return the number of files that are in no task, by step and port."""
        return Counter(
            (state.name, state.once[one.input_no])
            for state in self._states.values()
            for one in state.waiting
        )

    # -- making tasks -----------------------------------------------------------------------------

    def _take(self, name: str, port: str, file: WorkflowFile) -> None:
        """Take a file through a port, if it meets the conditions of the port."""
        if not self._queries[name, port].meets(file.metadata):
            return
        state = self._states[name]
        given = state.step.inputs[port]
        state.seen[port] = state.seen.get(port, 0) + 1
        if given.files_max and state.seen[port] > given.files_max:
            return
        if port not in state.once:
            state.kept.setdefault(port, []).append(file)
            return
        number, which = len(state.files), state.once.index(port)
        state.files.append(file)
        state.waiting.append(
            Waiting(number, which, file.path, file.bytes, file.metadata, (), since=0.0)
        )
        state.fresh = True

    def _advance(self) -> list[WorkflowTask]:
        found: list[WorkflowTask] = []
        for name in self._order:  # parents first: one pass is enough
            state = self._states[name]
            if not state.complete:
                found += self._tasks(state)
                self._finish(state)
        return found

    def _finish(self, state: _State) -> None:
        if not self._closed(state) or state.counts.ended < state.counts.made:
            return
        state.complete = True
        state.missing = below(self._own(state), self._above(state))
        state.sound = state.sound and self._sound(state)
        state.counts.total = state.counts.made

    def _closed(self, state: _State) -> bool:
        """Return whether no more inputs will come."""
        return all(self._states[one].complete for one in graph.parents(self._workflow, state.name))

    def _sound(self, state: _State) -> bool:
        return all(self._states[one].sound for one in graph.parents(self._workflow, state.name))

    def _own(self, state: _State) -> MissingOutputs:
        """Return the missing outputs of a step from its own failed tasks."""
        if state.once:
            lost, of, noun = state.failed, len(state.files), "files"
        else:
            lost, of, noun = state.counts.failed, state.counts.made, "tasks"
        if not lost:
            return MissingOutputs()
        return MissingOutputs(
            lost / of, (f"{lost} of {of} {noun} of {self._workflow.name}-{state.name}",)
        )

    def _above(self, state: _State) -> MissingOutputs:
        return joined(
            self._states[one].missing for one in graph.parents(self._workflow, state.name)
        )

    def _may_close(self, state: _State) -> bool:
        """Return whether no more inputs are missing than the step allows."""
        return self._above(state).is_within(self._workflow.allowed(state.name))

    def _tasks(self, state: _State) -> list[WorkflowTask]:
        """Return new tasks of a step."""
        groups = self._groups(state) if state.once else self._at_once(state)
        return list(filter(None, [self._task(state, files, values) for files, values in groups]))

    def _at_once(self, state: _State) -> Iterator[tuple[dict[str, tuple[WorkflowFile, ...]], Any]]:
        """Yield the inputs of the tasks that are made when all files exist."""
        if state.begun or not self._closed(state) or not self._may_close(state):
            return
        state.begun = True
        files, values = self._whole(state)
        step = state.step
        if not step.scatter:
            for _ in range(max(1, step.tasks)):
                yield files, values
            return
        lists: list[Sequence[Any]] = [
            [(one,) for one in files[port]] if port in files else values[port]
            for port in step.scatter
        ]
        if step.scatter_method == "dot":
            state.shape = (min(map(len, lists)),)
            rows: Iterator[tuple[Any, ...]] = zip(*lists, strict=False)
        else:
            sizes = tuple(map(len, lists))
            count = 1
            for size in sizes:
                count *= size
            state.shape = sizes if step.scatter_method == "nested" else (count,)
            rows = itertools.product(*lists)
        for row in rows:
            element = dict(zip(step.scatter, row, strict=True))
            yield (
                {port: element.get(port, given) for port, given in files.items()},
                {port: element.get(port, given) for port, given in values.items()},
            )

    def _whole(self, state: _State) -> tuple[dict[str, tuple[WorkflowFile, ...]], dict[str, Any]]:
        """Return all files and values of a step, from ports that are not grouped."""
        files: dict[str, tuple[WorkflowFile, ...]] = {}
        values: dict[str, Any] = {}
        for port, given in state.step.inputs.items():
            if port in state.once:
                continue
            if graph.brings_files(self._workflow, given):
                files[port] = tuple(sorted(state.kept.get(port, ()), key=_place))
            else:
                values[port] = self._value(given)
        return files, values

    def _value(self, given: StepInput) -> Any:
        if given.has_value:
            return given.value
        if given.parameter:
            return self._workflow.parameters[given.parameter].value
        (source,) = given.sources
        parent = self._states[source.step]
        found = parent.values[source.port]
        if graph.is_one_task(self._workflow, parent.step):
            return found.get(1)
        each = [found.get(number) for number in range(1, parent.counts.made + 1)]
        return _nested(each, parent.shape) if len(parent.shape) > 1 else each

    def _groups(self, state: _State) -> Iterator[tuple[dict[str, tuple[WorkflowFile, ...]], Any]]:
        """Yield groups of files that are used once, with the other inputs of each task."""
        asides = [port for port in state.step.inputs if port not in state.once]
        if not all(self._is_there(state, port) for port in asides):
            return
        closed = self._closed(state) and self._may_close(state)
        if not state.fresh and not closed:
            return
        state.fresh = False
        groups = _formed(state, closed)
        if not groups:
            return
        files, values = self._whole(state)
        taken: set[Waiting] = set()
        for members in groups:
            group = _by_port(state, members)
            common = common_of(group.values())
            beside = {port: self._shared_files(state, port, files[port], common) for port in files}
            if any(found is None for found in beside.values()):
                continue  # it waits for shared files, as on pilots, and is reported at the end
            taken.update(members)
            yield {**group, **{port: found or () for port, found in beside.items()}}, values
        state.waiting = [one for one in state.waiting if one not in taken]

    def _is_there(self, state: _State, port: str) -> bool:
        """Return whether all files of a port that each task needs have come."""
        given = state.step.inputs[port]
        parents = [self._states[source.step] for source in given.sources]
        allowed = self._workflow.allowed(state.name)
        return all(one.complete and one.missing.is_within(allowed) for one in parents)

    def _shared_files(
        self, state: _State, port: str, files: tuple[WorkflowFile, ...], common: Mapping[str, Value]
    ) -> tuple[WorkflowFile, ...] | None:
        """Return the last shared files that match a group; None: too few match."""
        given = state.step.inputs[port]
        if port in state.step.gather:
            return files
        fit = [file for file in files if _agrees(file.metadata, common, given.on)]
        if len(fit) < max(1, given.count):
            return None
        return tuple(fit[-given.count :])  # from -0 on: all

    def _task(
        self,
        state: _State,
        files: Mapping[str, tuple[WorkflowFile, ...]],
        values: Mapping[str, Any],
    ) -> WorkflowTask | None:
        """Return the next task of a step; None: its condition is not met."""
        state.counts.made += 1
        number = state.counts.made
        used = [
            files[port]
            for port, given in state.step.inputs.items()
            if port in files and given.use == "once"
        ]
        common = common_of(used)
        if state.step.when:
            known = {**common, **values, "task": number}
            if not parse_query(state.step.when).meets(known):
                state.counts.skipped += 1
                return None
        return WorkflowTask(state.name, number, files, values, common)


def _fed_ports(step: Step) -> list[str]:
    """Return the ports of a step that take outputs of other steps."""
    return [port for port, given in step.inputs.items() if given.sources]


def spec_of(step: Step, port: str) -> InputSpec:
    """Return a grouped port in the terms of transformations."""
    given = step.inputs[port]
    return InputSpec(name=port, use=given.use, on=given.on, count=given.count or 1)


def matching(given: StepInput, catalogue: Sequence[WorkflowFile]) -> list[WorkflowFile]:
    """Return the files of a catalogue that match an input."""
    query = query_of(given.query or given.where)
    wanted = given.dataset or (str(query.dataset) if query.dataset is not None else "")
    return [
        file
        for file in catalogue
        if query.meets(file.metadata) and (not wanted or file.metadata.get(DATASET_KEY) == wanted)
    ]


def common_of(parts: Sequence[Sequence[WorkflowFile]] | Any) -> dict[str, Value]:
    """Return the keys and values that all files share."""
    files: list[WorkflowFile] = [file for part in parts for file in part]
    found = in_common([file.metadata for file in files])
    found.pop(DATASET_KEY, None)
    return found


def _agrees(file: Metadata, common: Metadata, keys: Sequence[str]) -> bool:
    """Return whether a file has these keys with the common values of a group."""
    return all(key in file and key in common and same(file[key], common[key]) for key in keys)


def _place(file: WorkflowFile) -> tuple[str, int, str]:
    return (file.step, file.task, file.name)


def _formed(state: _State, closed: bool) -> list[tuple[Waiting, ...]]:
    """Return the groups of the waiting files of a step, by the rules of transformations."""
    closing = closed and state.grouping.partial != "never"
    plan = GroupingSpec(state.grouping, state.specs)
    # There is no clock here: a group that waits `after` a time becomes a task at the end.
    return grouped(rule_of(state.grouping.rule), state.waiting, plan, now=0.0, closing=closing)


def _by_port(state: _State, group: tuple[Waiting, ...]) -> dict[str, tuple[WorkflowFile, ...]]:
    """Return the files of a group by port."""
    parts: dict[str, list[WorkflowFile]] = {port: [] for port in state.once}
    for one in group:
        parts[state.once[one.input_no]].append(state.files[one.file_id])
    return {port: tuple(sorted(files, key=_place)) for port, files in parts.items()}


def _nested(each: list[Any], shape: tuple[int, ...]) -> list[Any]:
    """Return a flat list as nested lists."""
    if len(shape) <= 1:
        return each
    size = len(each) // shape[0] if shape[0] else 0
    return [_nested(each[i * size : (i + 1) * size], shape[1:]) for i in range(shape[0])]
