"""Grouping rules of others, by entry point."""

from collections.abc import Sequence
from importlib.metadata import EntryPoint

import pytest

from pilotage.central.errors import Refused
from pilotage.central.transformations.grouping import Group, GroupingSpec, WaitingInput
from pilotage.central.transformations.groupings import rule_names as rules


def odd(files: Sequence[WaitingInput], plan: GroupingSpec, *, partial: bool) -> list[Group]:
    """Files of odd number, one a group."""
    return [(one,) for one in files if one.file_id % 2]


def test_a_rule_of_others_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def installed(*, group: str) -> list[EntryPoint]:
        return [EntryPoint("odd", f"{__name__}:odd", group)]

    monkeypatch.setattr(rules, "entry_points", installed)

    assert rules.rule_of("odd") is odd
    assert rules.rule_of("count") is rules.BUILT_IN["count"]
    with pytest.raises(Refused, match="count, join, key, odd, site"):
        rules.rule_of("even")
