"""The grammar of JDL: what is read, and how mistakes are named."""

import time

import pytest

from pilotage.central.workflows.jdl.errors import BadJdl, Mistakes
from pilotage.central.workflows.jdl.grammar import BYTES_MAX, Items, JdlValue, Section, Word, parse

from .reading import mistakes


def plain(value: JdlValue) -> object:
    if isinstance(value, Word):
        return value.text
    if isinstance(value, Items):
        return [plain(one) for one in value.items]
    return {one.name: plain(one.value) for one in value.attributes}


def parsed(text: str) -> dict[str, object]:
    found = Mistakes("a.jdl", text)
    attributes = parse(text, found)
    found.check()
    return {one.name: plain(one.value) for one in attributes}


TABLE: list[tuple[str, dict[str, object]]] = [
    ('[ A = "x"; ]', {"A": "x"}),
    ('A = "x"', {"A": "x"}),
    ('[A="x";B=2;];', {"A": "x", "B": "2"}),
    ("A = true; B = -1.5e3; C = LCG.CERN.ch;", {"A": "true", "B": "-1.5e3", "C": "LCG.CERN.ch"}),
    ('A = "say \\"hi\\"; \\d+ {x} # y // z";', {"A": 'say "hi"; \\d+ {x} # y // z'}),
    ('A = {"a b", c, {1, 2}, {}};', {"A": ["a b", "c", ["1", "2"], []]}),
    ("A = {X=1, Y=2};", {"A": ["X=1", "Y=2"]}),
    ('A = [ B = "1"; C = [ D = {2} ] ];', {"A": {"B": "1", "C": {"D": ["2"]}}}),
    ("# one\nA = 1; // two\n/* three\n; */ B = 2; # four", {"A": "1", "B": "2"}),
    ('A = "one\n# dropped\ntwo";', {"A": "one\n" + " " * 9 + "\ntwo"}),
    ("Parameters.RUN = {1};", {"Parameters.RUN": ["1"]}),
    ("InputData = LFN:/ctao/a;", {"InputData": "LFN:/ctao/a"}),
    ("A = {1,};;", {"A": ["1"]}),
    ("", {}),
    ("[]", {}),
]


@pytest.mark.parametrize(("text", "right"), TABLE)
def test_a_description_is_read(text: str, right: dict[str, object]) -> None:
    assert parsed(text) == right


WRONG = [
    ('A = "x" B = 2;', ["1:9: found 'B' after the value of A, expected ';'"]),
    ("A = ;\nB = {1;\nC 3;", [
        '1:1: A has no value: write "" for an empty text',
        "2:7: found ';' in a list, expected ',' or '}'",
        "3:3: found '3' after C, expected '='",
    ]),
    ('A = 1;\n B = "x;\nC = 2;', ["2:6: the text has no end: add '\"'"]),
    ("[ A = 1;", ["1:1: '[' has no ']': add it at the end"]),
    ("[ A = 1; ] [ B = 2; ]", ["1:12: found '[' after the end: one file has one job"]),
    ("A = {1, 2", ["1:5: '{' has no '}'"]),
    ("A = [ B = 1;", ["1:5: '[' has no ']'"]),
    ("= 1;", ["1:1: found '=', expected the name of an attribute, as in JobName"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "right"), WRONG)
def test_all_mistakes_are_named_with_line_and_column(text: str, right: list[str]) -> None:
    with pytest.raises(BadJdl) as bad:
        parsed(text)

    assert bad.value.lines == [f"a.jdl:{one}" for one in right]


@pytest.mark.parametrize(
    "text",
    ["x" * 10_000_000, "A = " + "{" * 10_000, "A = " + "[B = " * 10_000, "[" * 10_000],
    ids=["10 MB", "lists", "sections", "brackets"],
)
def test_huge_and_deep_texts_are_refused_within_a_second(text: str) -> None:
    begun = time.process_time()

    assert mistakes(text)

    assert time.process_time() - begun < 1.0


def test_a_file_has_at_most_some_megabytes() -> None:
    assert BYTES_MAX < 10_000_000
    with pytest.raises(BadJdl, match="more than 8000000 bytes"):
        parse("é" * (BYTES_MAX // 2 + 1), Mistakes("a.jdl", ""))


def test_only_the_first_mistakes_are_shown() -> None:
    with pytest.raises(BadJdl) as bad:
        found = Mistakes("a.jdl", "x")
        for number in range(60):
            found.add(0, f"{number:02}")
        found.check()

    assert len(bad.value.lines) == 60
    assert str(bad.value).splitlines()[-1] == "and 10 more mistakes"


def test_a_section_is_a_value() -> None:
    (one,) = parse("A = [ B = 1 ]", Mistakes("a.jdl", ""))

    assert isinstance(one.value, Section)
