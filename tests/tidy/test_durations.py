"""A case of the gate takes at most 20 seconds, except for a few that must take longer."""

from typing import Final

from tests import durations

from . import tree

ALLOWED: Final[frozenset[str]] = frozenset()


def test_no_other_case_of_the_gate_is_long() -> None:
    long = set(durations.named_as_long((tree.ROOT / durations.PAGE).read_text()))

    assert long <= ALLOWED, "make it shorter, mark it `long`, or list it here"
    assert long >= ALLOWED, "these are no longer long: take them off the list"
