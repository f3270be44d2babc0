"""Makes groups from waiting inputs, by a rule and a policy for partial groups. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from pilotage.proto.catalogue import Metadata, Value
from pilotage.proto.documents.transformation import Grouping, InputSpec

INPUT_BITS: Final = 8  # enough for the inputs of any document


class WaitingInput(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A waiting input with the facts that rules use. One object of plain values."""

    file_id: int
    input_no: int  # the number of the transformation's input
    did: str
    bytes: int
    metadata: Metadata  # only the keys that built-in rules and the template use
    sites: tuple[str, ...]  # that see a copy; empty: all
    since: float  # when it came, or came back (wall clock)
    task_id: int = 0  # the last task that had it; 0: none, or it did not fail

    @property
    def key(self) -> int:
        return key_of(self.file_id, self.input_no)


def key_of(file_id: int, input_no: int) -> int:
    """Return an input of a transformation as one number, which takes less memory than a tuple."""
    return file_id << INPUT_BITS | input_no


Group = tuple[WaitingInput, ...]


@dataclass(frozen=True)
class GroupingSpec:
    """The arguments of a rule: the transformation's grouping, and its inputs."""

    grouping: Grouping
    inputs: tuple[InputSpec, ...]


class GroupingRule(Protocol):
    """Makes groups. No file is in two of them; files in no group keep waiting."""

    def __call__(
        self, files: Sequence[WaitingInput], plan: GroupingSpec, *, partial: bool
    ) -> list[Group]:
        """Return the full groups; with `partial` also the others.

        `files` are in order of registration.
        """
        ...


class BadRule(Exception):
    """A grouping rule has returned an invalid result: its transformation is paused."""


def grouped(
    rule: GroupingRule,
    files: Sequence[WaitingInput],
    plan: GroupingSpec,
    *,
    now: float,
    closing: bool,
) -> list[Group]:
    """Return the groups that become tasks now; with `closing` also partial ones."""
    groups = _asked(rule, files, plan, partial=closing)
    if closing or plan.grouping.partial != "after":
        return groups
    taken = {one for group in groups for one in group}
    late = _asked(rule, [one for one in files if one not in taken], plan, partial=True)
    before = now - plan.grouping.after_s
    return groups + [group for group in late if min(one.since for one in group) <= before]


def _asked(
    rule: GroupingRule, files: Sequence[WaitingInput], plan: GroupingSpec, *, partial: bool
) -> list[Group]:
    try:
        groups = rule(files, plan, partial=partial)
    except Exception as why:  # it may come from another package
        raise BadRule(f"the grouping rule {plan.grouping.rule} has failed: {why!r}") from why
    _check(groups, files)
    return groups


def _check(groups: Sequence[Group], files: Sequence[WaitingInput]) -> None:
    given = set(files)
    for group in groups:
        if not group:
            raise BadRule("the grouping rule has made a group without files")
        for one in group:
            if one not in given:
                raise BadRule(f"the grouping rule has put {one.did} in two groups, or invented it")
            given.remove(one)


def common(group: Sequence[WaitingInput]) -> dict[str, Value]:
    """Return the metadata that all files of a group have with the same value."""
    return in_common([one.metadata for one in group])


def in_common(files: Sequence[Metadata]) -> dict[str, Value]:
    """Return the keys and values that all of these metadata share."""
    if not files:
        return {}
    first, *rest = files
    if all(one is first for one in rest):
        return dict(first)
    return {
        key: value
        for key, value in first.items()
        if all(key in one and same(one[key], value) for one in rest)
    }


def same(one: Value, other: Value) -> bool:
    """Return whether a query for one value finds the other: 1 is not true."""
    return one == other and isinstance(one, bool) is isinstance(other, bool)


def values(file: WaitingInput, keys: Sequence[str]) -> tuple[Value, ...] | None:
    """Return a file's values of these keys; None: it lacks one."""
    found = tuple(file.metadata[key] for key in keys if key in file.metadata)
    return found if len(found) == len(keys) else None
