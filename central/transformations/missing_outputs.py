"""What a transformation has failed to make for good, and who waits because of that. Pure."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pilotage.proto.documents.transformation import Transformation
from pilotage.proto.transformation_states import InputState, TaskState

from .record import StateCounts

STUCK: Final = (
    InputState.STUCK,
    InputState.PROBLEMATIC,
    InputState.MISSING,
)  # no task takes these until a user acts
COUNTED: Final = (*STUCK, InputState.UNUSED, InputState.ASSIGNED, InputState.PROCESSED)
NOT_DONE: Final = (TaskState.FAILED, TaskState.KILLED, TaskState.LOST)
MISSING_KEY: Final = "missing_inputs"  # metadata of outputs that were made without some inputs
WAITS: Final = "waits for what is missing: "  # how the reason of such a transformation begins
_AND: Final = ", "
_WORDS_MAX: Final = 250  # of metadata and reasons
_EXACT: Final = 1e-9  # so that 1 of 4 is 25 %


@dataclass(frozen=True)
class MissingOutputs:
    """What is missing of the outputs of one or several transformations."""

    part: float = 0.0  # from 0 to 1, with what is missing of their inputs
    words: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = _AND.join(self.words)
        return text if len(text) <= _WORDS_MAX else f"{text[: _WORDS_MAX - 1]}…"

    def is_within(self, part: float) -> bool:
        """Whether no more is missing than is allowed."""
        return self.part <= part + _EXACT


def own(
    name: str, doc: Transformation, counts: StateCounts, tasks_wanted: int, *, works: bool = False
) -> MissingOutputs:
    """Return what a transformation did not make of the inputs, or of the tasks, that it had.

    `works`: it is not at its end, and what it has not made yet is counted too.
    """
    if tasks_wanted:
        lost, of = sum(counts.tasks.get(state, 0) for state in NOT_DONE), tasks_wanted
        if works:
            lost = max(0, of - counts.tasks.get(TaskState.DONE, 0))
        noun = "tasks"
    else:
        once = {i for i, one in enumerate(doc.inputs) if one.use == "once"}
        found = {key: files for key, files in counts.inputs.items() if key[0] in once}
        lacking = COUNTED if works else STUCK
        lost = sum(
            files
            for (_, state), files in found.items()
            if state in lacking and state is not InputState.PROCESSED
        )
        of = sum(files for (_, state), files in found.items() if state in COUNTED)
        noun = "files"
    if works and not of:
        return MissingOutputs(1.0, (f"all files of {name}",))
    if not lost:
        return MissingOutputs()
    return MissingOutputs(min(1.0, lost / of), (f"{lost} of {of} {noun} of {name}",))


def joined(those: Iterable[MissingOutputs]) -> MissingOutputs:
    """Return what is missing of several that are taken together: the part of the worst of them."""
    some = list(those)
    words = dict.fromkeys(word for one in some for word in one.words)
    return MissingOutputs(max((one.part for one in some), default=0.0), tuple(words))


def said_of(missing: MissingOutputs, inputs: Iterable[Mapping[str, Any]]) -> str:
    """Return what outputs say: what a step does without, and what its task's inputs were made
    without, which have that in their metadata. Empty: nothing is missing."""
    words = dict.fromkeys(missing.words)
    for metadata in inputs:
        words |= dict.fromkeys(
            word for word in str(metadata.get(MISSING_KEY, "")).split(_AND) if word
        )
    return str(MissingOutputs(missing.part, tuple(words)))


def below(mine: MissingOutputs, above: MissingOutputs) -> MissingOutputs:
    """Return what is missing of the outputs of one, with what was missing of its inputs."""
    part = 1.0 - (1.0 - mine.part) * (1.0 - above.part) if above.part else mine.part
    return MissingOutputs(part, tuple(dict.fromkeys((*above.words, *mine.words))))


def takes_all(doc: Transformation) -> bool:
    """Whether the end of its parents makes it take what is there: all, or groups not full."""
    if any(one.use == "shared" and not one.count for one in doc.inputs):
        return True
    rule = doc.grouping
    if rule.rule == "count" and rule.size == 1:
        return False
    return rule.rule == "all" or rule.partial != "never"


def why_it_waits(missing: MissingOutputs, allowed: float) -> str:
    """Return why something waits of whose inputs more is missing than is allowed."""
    parts = f"{in_percent(missing.part)} is missing; at most {in_percent(allowed)} is allowed"
    return f"{WAITS}{missing}; {parts}"


def without(missing: MissingOutputs) -> str:
    """Return the reason of a task that ran without some inputs."""
    return f"made without {missing}"


def in_percent(part: float) -> str:
    """Return a part in per cent, rounded up: `--allow-partial` with it lets the step go on."""
    return f"{math.ceil(round(100 * part, 6))} %"
