"""Random descriptions, as DIRAC's own library reads them.

Known differences are left out: names in another case, quotes and `;` in texts, blanks in items of
lists, and a missing `;`.
"""

import string
from contextlib import redirect_stdout
from io import StringIO

import pytest
from DIRACCommon.Core.Utilities.ClassAd.ClassAdLight import ClassAd
from DIRACCommon.WorkloadManagementSystem.Utilities.ParametricJob import (
    generateParametricJobs,
    getParameterVectorLength,
)
from hypothesis import example, given, settings, strategies as st

from pilotage.central.workflows.jdl.errors import Mistakes
from pilotage.central.workflows.jdl.grammar import Attribute, Items, JdlValue, Word, parse
from pilotage.central.workflows.jdl.parametric import numbers, sequences_of

_LETTERS = string.ascii_letters + string.digits
NAMES = st.from_regex(r"[A-Z][A-Za-z0-9]{2,12}", fullmatch=True)
TEXTS = st.text(_LETTERS + "_./:=-+@ *?!&|~<>()$%^\\'é", max_size=20).filter(
    lambda text: not text.endswith("\\")
)
ITEMS = st.text(_LETTERS + "_./:-+@*?!&|~$%^é", min_size=1, max_size=12)
BARE = st.one_of(
    st.integers(-(10**9), 10**9).map(str),
    st.sampled_from(["true", "false", "ANY", "LCG.CERN.ch", "0.5", "-1.5e3"]),
)
QUOTED = ITEMS.map(lambda text: f'"{text}"')
VALUES = st.one_of(
    TEXTS.map(lambda text: f'"{text}"'),
    BARE,
    st.lists(QUOTED | BARE, min_size=1, max_size=5),
)
GAPS = st.sampled_from(["", " ", "\n", "\n\n    "])


@st.composite
def descriptions(draw: st.DrawFn) -> str:
    names = draw(st.lists(NAMES, min_size=1, max_size=8, unique_by=str.lower))
    text = "["
    for name in names:
        value = draw(VALUES)
        if isinstance(value, list):
            comma = draw(st.sampled_from([",", ", ", ",\n  "]))
            value = "{" + draw(GAPS) + comma.join(value) + draw(GAPS) + "}"
        text += f"{draw(GAPS)}{name}{draw(GAPS)}={draw(GAPS)}{value}{draw(GAPS)};"
    return text + draw(GAPS) + "]"


def read(text: str) -> tuple[Attribute, ...]:
    found = Mistakes("a.jdl", text)
    attributes = parse(text, found)
    found.check()
    return attributes


def texts(value: JdlValue) -> list[str]:
    if isinstance(value, Items):
        return [one.text for one in value.items if isinstance(one, Word)]
    assert isinstance(value, Word)
    return [value.text]


@settings(max_examples=2_000, deadline=None)
@given(descriptions())
@example('[A1c = {"x","y"};Bcd="p, q";]')
def test_a_random_description_is_read_as_dirac_reads_it(text: str) -> None:
    theirs, ours = ClassAd(text), {one.name: one.value for one in read(text)}

    assert set(ours) == set(theirs.getAttributes())
    for name, value in ours.items():
        if isinstance(value, Items):
            assert theirs.isAttributeList(name)
            assert texts(value) == theirs.getListFromExpression(name)
        else:
            assert texts(value) == [theirs.getAttributeString(name)]


INTEGERS = st.integers(-1000, 1000)
REALS = st.integers(-4000, 4000).map(lambda number: number / 4)
NUMBERS = INTEGERS | REALS


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 12), NUMBERS, NUMBERS, st.integers(-3, 3) | st.sampled_from([0.5, 1.5, -2.0]))
def test_random_sequences_have_the_values_of_dirac(
    count: int, start: float, step: float, factor: float
) -> None:
    text = (
        f'[Arguments="%s %n";Parameters={count};ParameterStart={start};ParameterStep={step};'
        f"ParameterFactor={factor};]"
    )
    made = generateParametricJobs(ClassAd(text))
    theirs = [ClassAd(one) for one in made["Value"]]

    found = sequences_of(read(text), mistakes := Mistakes("a.jdl", text))
    mistakes.check()
    (arguments,) = (one.value for one in read(text) if one.name == "Arguments")
    ours = [found.fill(arguments, number, mistakes) for number in range(found.count)]

    assert found.count == getParameterVectorLength(ClassAd(text))["Value"] == count
    assert [texts(one)[0] for one in ours] == [
        one.getAttributeString("Arguments") for one in theirs
    ]
    assert list(map(str, numbers(count, start, step, factor))) == [
        one.getAttributeString("Parameter") for one in theirs
    ]


#    what DIRAC makes of it                                        what it is here
DIFFERENCES = [
    ('[A={"a b"};]', ["ab"], ["a b"]),
    ('[A="x;y";]', ['"x'], ["x;y"]),
    ('[A=1\n B=2;]', ["1 B=2"], None),
    ('[A="say \\"hi\\"";]', ["say \\hi\\"], ['say "hi"']),
]  # fmt: skip


@pytest.mark.parametrize(("text", "theirs", "ours"), DIFFERENCES)
def test_the_differences_are_as_documented(
    text: str, theirs: list[str], ours: list[str] | None
) -> None:
    with redirect_stdout(StringIO()):
        found = ClassAd(text)
    given_there = (
        found.getListFromExpression("A") if found.isAttributeList("A") else [found.contents["A"]]
    )

    assert [one.replace('"', "") for one in given_there] == [one.replace('"', "") for one in theirs]
    if ours is not None:
        assert texts(read(text)[0].value) == ours
