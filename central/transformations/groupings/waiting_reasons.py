"""Explains to users why waiting files make no group. Pure."""

from collections.abc import Sequence

from ..grouping import Group, GroupingSpec, WaitingInput
from .side_inputs import SideInputs


def why_no_group(plan: GroupingSpec, files: Sequence[WaitingInput]) -> str:
    """Return why these files make no group; empty if unknown.

    For a join and for groups by keys, it first checks which keys the files lack.
    """
    grouping = plan.grouping
    for i, spec in enumerate(plan.inputs):
        if spec.use == "once" and not any(one.input_no == i for one in files):
            return f"{spec.name}: no file waits"
    if said := lacking(plan, files):
        return said
    if grouping.rule == "join":
        return "no files of all inputs have equal values of the keys of the join"
    if grouping.rule in ("count", "key", "site") and grouping.size > 1:
        return f"no group of {grouping.size} is full"
    if grouping.rule == "bytes":
        return "no group is full"
    return ""


def lacking(plan: GroupingSpec, files: Sequence[WaitingInput]) -> str:
    """Return the key that some files lack, of a join or of groups by keys."""
    grouping = plan.grouping
    for i, spec in enumerate(plan.inputs):
        mine = [one for one in files if one.input_no == i and spec.use == "once"]
        for key in (spec.on or grouping.keys) if grouping.rule in ("key", "join") else ():
            count = sum(key not in one.metadata for one in mine)
            if count:
                return f"{spec.name}: {count} of {len(mine)} files have no {key!r}"
    return ""


def why_alone(plan: GroupingSpec, beside: SideInputs, groups: Sequence[Group]) -> str:
    """Return which side input lacks files for these groups; empty if one group has all."""
    number = beside.lacking(groups)
    if number is None:
        return ""
    spec = plan.inputs[number]
    if not spec.count:
        return f"{spec.name}: tasks need all of its files, and more may come"
    alike = f" with the group's {', '.join(spec.on)}" if spec.on else ""
    return f"{spec.name}: {spec.count} of its files{alike} do not exist yet"
