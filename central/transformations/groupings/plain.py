"""Groups files by number, by bytes, or all together."""

from collections.abc import Sequence

from ...catalogue.checks import INPUTS_MAX
from ..grouping import Group, GroupingSpec, WaitingInput


def count(files: Sequence[WaitingInput], plan: GroupingSpec, *, partial: bool) -> list[Group]:
    """Group `size` files in the order in which they came."""
    return chunks(files, plan.grouping.size, partial=partial)


def by_bytes(files: Sequence[WaitingInput], plan: GroupingSpec, *, partial: bool) -> list[Group]:
    """Group files up to `bytes_max`; a larger file makes a group alone.

    A group is full if the next file does not fit, or if the job can take no more files.
    """
    groups: list[Group] = []
    open_: list[WaitingInput] = []
    size = 0
    for one in files:
        too_many = len(open_) >= INPUTS_MAX
        if open_ and (too_many or size + one.bytes > plan.grouping.bytes_max):
            groups.append(tuple(open_))
            open_, size = [], 0
        open_.append(one)
        size += one.bytes
    if open_ and (partial or size >= plan.grouping.bytes_max or len(open_) >= INPUTS_MAX):
        groups.append(tuple(open_))
    return groups


def everything(files: Sequence[WaitingInput], plan: GroupingSpec, *, partial: bool) -> list[Group]:
    """Make one group, which is full when no more files will come."""
    return [tuple(files)] if partial and files else []


def chunks(files: Sequence[WaitingInput], size: int, *, partial: bool) -> list[Group]:
    """Return runs of `size` files; with `partial` the rest is one too."""
    end = len(files) if partial else len(files) - len(files) % size
    return [tuple(files[start : min(start + size, end)]) for start in range(0, end, size)]
