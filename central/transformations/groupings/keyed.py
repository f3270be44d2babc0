"""Groups files by something in common: a site, or values of keys; also joins inputs."""

from collections.abc import Sequence

from pilotage.proto.catalogue import Value

from ..grouping import Group, GroupingSpec, WaitingInput, values
from .plain import chunks


def site(files: Sequence[WaitingInput], plan: GroupingSpec, *, partial: bool) -> list[Group]:
    """Group `size` files that one site has; the site with most files comes first."""
    left = dict.fromkeys(files)
    groups: list[Group] = []
    held: dict[str, list[WaitingInput]] = {}
    for one in files:
        for name in one.sites or ("",):
            held.setdefault(name, []).append(one)
    names = sorted(held, key=lambda name: (-len(held[name]), name))
    for is_rest in (False, True)[: 1 + partial]:
        for name in names:
            here = [one for one in held[name] if one in left]
            for group in chunks(here, plan.grouping.size, partial=is_rest):
                groups.append(group)
                for one in group:
                    del left[one]
    return groups


def key(files: Sequence[WaitingInput], plan: GroupingSpec, *, partial: bool) -> list[Group]:
    """Group `size` files with equal values of `keys`. A file that lacks a key waits."""
    groups: list[Group] = []
    for alike in _by_value(files, plan.grouping.keys).values():
        groups += chunks(alike, plan.grouping.size, partial=partial)
    return groups


def join(files: Sequence[WaitingInput], plan: GroupingSpec, *, partial: bool) -> list[Group]:
    """Group the `count` files of each input with equal values of its `on` (default: `keys`).

    With `partial`, at least one of each.
    """
    sides = [i for i, spec in enumerate(plan.inputs) if spec.use == "once"]
    tables = {
        i: _by_value(
            [one for one in files if one.input_no == i],
            plan.inputs[i].on or plan.grouping.keys,
        )
        for i in sides
    }
    counts = {i: plan.inputs[i].count for i in sides}
    groups: list[Group] = []
    for value in tables[sides[0]] if sides else ():
        rows = {i: tables[i].get(value, []) for i in sides}
        start = 0
        while all(len(rows[i]) >= (start + 1) * counts[i] for i in sides):
            groups.append(_slice(rows, counts, start))
            start += 1
        if partial and all(len(rows[i]) > start * counts[i] for i in sides):
            groups.append(_slice(rows, counts, start))
    return groups


def _slice(rows: dict[int, list[WaitingInput]], counts: dict[int, int], n: int) -> Group:
    return tuple(
        one for i, files in rows.items() for one in files[n * counts[i] : (n + 1) * counts[i]]
    )


def _by_value(
    files: Sequence[WaitingInput], keys: Sequence[str]
) -> dict[tuple[tuple[bool, Value], ...], list[WaitingInput]]:
    """Return files by their values; True is not 1."""
    found: dict[tuple[tuple[bool, Value], ...], list[WaitingInput]] = {}
    for one in files:
        its = values(one, keys)
        if its is not None:
            found.setdefault(tuple((isinstance(v, bool), v) for v in its), []).append(one)
    return found
