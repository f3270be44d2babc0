"""Computes which outputs of a transformation are missing for good, and their effects. Pure."""

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
# the reason of a waiting transformation begins with it
WAITS: Final = "waits for what is missing: "
_AND: Final = ", "
_WORDS_MAX: Final = 250  # of metadata and reasons
_EXACT: Final = 1e-9  # so that 1 of 4 is 25 %


@dataclass(frozen=True)
class MissingOutputs:
    """The missing outputs of one or several transformations."""

    part: float = 0.0  # from 0 to 1; missing inputs count too
    words: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = _AND.join(self.words)
        return text if len(text) <= _WORDS_MAX else f"{text[: _WORDS_MAX - 1]}…"

    def is_within(self, part: float) -> bool:
        """Return whether no more is missing than allowed."""
        return self.part <= part + _EXACT


def own(
    name: str, doc: Transformation, counts: StateCounts, tasks_wanted: int, *, works: bool = False
) -> MissingOutputs:
    """Return which outputs a transformation did not make from its inputs, or tasks.

    `works`: it has not ended, and everything not made yet counts as missing.
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
    """Return the missing outputs of several parents together: the worst part counts."""
    some = list(those)
    words = dict.fromkeys(word for one in some for word in one.words)
    return MissingOutputs(max((one.part for one in some), default=0.0), tuple(words))


def said_of(missing: MissingOutputs, inputs: Iterable[Mapping[str, Any]]) -> str:
    """Return the text for the metadata of outputs; empty: nothing is missing.

    It names the missing inputs of the step, and those that its inputs' metadata name.
    """
    words = dict.fromkeys(missing.words)
    for metadata in inputs:
        words |= dict.fromkeys(
            word for word in str(metadata.get(MISSING_KEY, "")).split(_AND) if word
        )
    return str(MissingOutputs(missing.part, tuple(words)))


def below(mine: MissingOutputs, above: MissingOutputs) -> MissingOutputs:
    """Return the missing outputs of a transformation, its missing inputs included."""
    part = 1.0 - (1.0 - mine.part) * (1.0 - above.part) if above.part else mine.part
    return MissingOutputs(part, tuple(dict.fromkeys((*above.words, *mine.words))))


def takes_all(doc: Transformation) -> bool:
    """Return whether it takes all files, or partial groups, at the end of its parents."""
    if any(one.use == "shared" and not one.count for one in doc.inputs):
        return True
    rule = doc.grouping
    if rule.rule == "count" and rule.size == 1:
        return False
    return rule.rule == "all" or rule.partial != "never"


def why_it_waits(missing: MissingOutputs, allowed: float) -> str:
    """Return the reason of a transformation with more missing inputs than allowed."""
    parts = f"{in_percent(missing.part)} is missing; at most {in_percent(allowed)} is allowed"
    return f"{WAITS}{missing}; {parts}"


def without(missing: MissingOutputs) -> str:
    """Return the reason of a task that ran without some inputs."""
    return f"made without {missing}"


def in_percent(part: float) -> str:
    """Return a part in per cent, rounded up: with it, `--allow-partial` lets the step continue."""
    return f"{math.ceil(round(100 * part, 6))} %"
