"""Patterns of outputs match as a shell's do, and no pattern takes long."""

import fnmatch
import re
import time

import pytest
from hypothesis import example, given, strategies as st

from pilotage.pilot.files.globs import compile_glob
from pilotage.pilot.ports import UnsafePath

NAMES = st.lists(st.text("ab-!]", min_size=1, max_size=4), min_size=1, max_size=4).map("/".join)
PIECES = [
    "a",
    "b",
    "-",
    "!",
    "*",
    "?",
    "**",
    "/",
    "/**/",
    "[",
    "]",
    "[ab]",
    "[!a]",
    "[a-b]",
    "[]a]",
]
PATTERNS = st.lists(st.sampled_from([*PIECES, "[b-a]", "[!b-a]"]), min_size=1, max_size=8).map(
    "".join
)


def expression(pattern: str) -> "re.Pattern[str]":
    """Return the pattern as the regular expression that says what it means."""
    parts = [part for part in pattern.split("/") if part]
    text = ""
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if part == "**":
            text += ".*" if last else "(?:[^/]+/)*"
            continue
        for piece in re.split(r"(\*+|\?|\[!?\]?[^]]*\])", part):
            if piece.startswith("*"):
                text += "[^/]*"
            elif piece == "?":
                text += "[^/]"
            elif piece.startswith("[") and piece.endswith("]") and len(piece) > 2:
                text += "(?!/)" + fnmatch.translate(piece)[4:-3]  # what is excluded may be all
            else:
                text += re.escape(piece)
        text += "" if last else "/"
    return re.compile(text, re.DOTALL)


@given(PATTERNS.filter(lambda pattern: not pattern.startswith("/")), NAMES)
@example("**/a", "a")
@example("**", "a/b")
@example("a/**", "a")
@example("a/**/**", "a/b")
@example("**/**/b", "a/a/b")
@example("*a*b", "aabab")
@example("a/*[!b-a]*", "a/]/]")
@example("a[!b]c", "a/c")
def test_a_pattern_means_what_its_expression_means(pattern: str, name: str) -> None:
    assert compile_glob(pattern).fullmatch(name) == bool(expression(pattern).fullmatch(name))


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("*a" * 60 + "b", "a" * 200),
        ("**/" * 60 + "b", "a/" * 200 + "a"),
        ("**/*a*a*a*a*a*a*/" * 20 + "b", "aaaaaaaaaaaaaaaa/" * 50 + "a"),
        ("*[!b]" * 60 + "b", "a" * 200),
    ],
)
def test_no_pattern_holds_the_pilot_up(pattern: str, name: str) -> None:
    began = time.monotonic()

    assert not compile_glob(pattern).fullmatch(name)
    assert time.monotonic() - began < 2.0


@pytest.mark.parametrize("pattern", ["a\0b", "\udcff*", "[z-a]*[[]["])
def test_a_strange_pattern_matches_nothing_and_breaks_nothing(pattern: str) -> None:
    assert not compile_glob(pattern).fullmatch("a")


@pytest.mark.parametrize("pattern", ["", "/etc/*", "../../**", "a/../b"])
def test_a_pattern_that_leads_out_is_refused(pattern: str) -> None:
    with pytest.raises(UnsafePath):
        compile_glob(pattern)
