"""Finds grouping rules by name: the built-in ones, and those of packages by entry point."""

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Final

from pilotage.proto.decoding.complaints import short
from pilotage.proto.decoding.nearest_words import unknown
from pilotage.proto.problems import Code

from ...errors import Refused
from ..grouping import GroupingRule
from . import keyed, plain

GROUP: Final = "pilotage.groupings"
BUILT_IN: Final[Mapping[str, GroupingRule]] = {
    "count": plain.count,
    "bytes": plain.by_bytes,
    "all": plain.everything,
    "site": keyed.site,
    "key": keyed.key,
    "join": keyed.join,
}


def rule_of(name: str) -> GroupingRule:
    """Return a rule. Raises Refused with the known names."""
    built_in = BUILT_IN.get(name)
    if built_in is not None:
        return built_in
    theirs = {one.name: one for one in entry_points(group=GROUP)}
    if name not in theirs:
        text = f"grouping.rule: {unknown(short(name), {*BUILT_IN, *theirs}, what='rule')}"
        raise Refused(Code.INVALID, text, field="document.grouping.rule")
    loaded: GroupingRule = theirs[name].load()
    return loaded
