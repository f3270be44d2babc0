"""Why files that are there make no group, in words for people. Pure."""

from collections.abc import Sequence

from .grouping import File, Plan


def why_no_group(plan: Plan, files: Sequence[File]) -> str:
    """Return why these files, of which a rule has made no group, wait; empty if unknown.

    Of a join and of groups by keys it looks first at what files lack.
    """
    grouping = plan.grouping
    counts = [0] * len(plan.inputs)
    for one in files:
        counts[one.input_no] += 1
    for i, spec in enumerate(plan.inputs):
        if spec.use != "once":
            continue
        if not counts[i]:
            return f"{spec.name}: no file waits"
        for key in (spec.on or grouping.keys) if grouping.rule in ("key", "join") else ():
            lacking = sum(one.input_no == i and key not in one.metadata for one in files)
            if lacking:
                return f"{spec.name}: {lacking} of {counts[i]} files have no {key!r}"
    if grouping.rule == "join":
        return "no files of all inputs have equal values of the keys of the join"
    if grouping.rule in ("count", "key", "site") and grouping.size > 1:
        return f"no group of {grouping.size} is full"
    if grouping.rule == "bytes":
        return "no group is full"
    return ""
