"""Tag expressions: what they mean, and what is said where one does not read."""

import pytest
from hypothesis import given, strategies as st

from pilotage.matcher.clauses.tag_expressions import DEPTH_MAX, BadTags, parse

#    expression                      tags of the offer      holds
MEANING = """
     -                               -                      yes
     -                               gpu                    yes
     gpu                             gpu                    yes
     gpu                             -                      no
     ~gpu                            -                      yes
     ~gpu                            gpu                    no
     ~~gpu                           gpu                    yes
     a&b                             a,b                    yes
     a&b                             a                      no
     a|b                             b                      yes
     a|b                             c                      no
     a|b&c                           a                      yes
     a|b&c                           b                      no
     (a|b)&c                         a                      no
     (a|b)&c                         b,c                    yes
     ~(a|b)                          c                      yes
     ~(a|b)                          b                      no
     ~a|b                            a,b                    yes
     ~a&b                            a,b                    no
     cvmfs:ctao&(gpu|~legacy)        cvmfs:ctao             yes
     cvmfs:ctao&(gpu|~legacy)        cvmfs:ctao,legacy      no
     cvmfs:ctao&(gpu|~legacy)        cvmfs:ctao,legacy,gpu  yes
     cvmfs:ctao&(gpu|~legacy)        cvmfs                  no
     sw/root@6.30+x-1_2              sw/root@6.30+x-1_2     yes
     GPU                             gpu                    no
"""

#    expression        position  says
PROBLEMS = """
     a&                3         the_text_ends
     a|&b              3         not_'&'
     &a                1         not_'&'
     (a                1         not_closed
     a&(b|c            3         not_closed
     a)                2         never_opened
     ()                2         not_')'
     ~                 2         the_text_ends
     a(b)              2         before_'('
     a&$b              3         '$'
     -a                1         '-'
     a!=b              2         '!'
     a&&b              3         '&'_is_written_once
     !a                1         not_is_written_'~'
     a,b               2         and_is_written_'&'
"""

#    expression            tags that it names
NAMED = """
     a&b                   a,b
     a|b                   a,b
     a&~b                  a
     ~(a&~b)               b
     ~~a                   a
"""


def rows(table: str) -> list[list[str]]:
    return [line.split() for line in table.split("\n") if line.strip()]


def tag_set(cell: str) -> frozenset[str]:
    return frozenset() if cell == "-" else frozenset(cell.split(","))


@pytest.mark.parametrize(("text", "tags", "holds"), rows(MEANING))
def test_an_expression_holds_where_the_table_says(text: str, tags: str, holds: str) -> None:
    expression = parse("" if text == "-" else text)

    assert expression.holds(tag_set(tags)) == (holds == "yes")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a and b", "position 3: '&' or '|' expected before 'and': 'and' is written '&'"),
        ("a OR b", "'OR' is written '|'"),
        ("not a", "position 5: '&' or '|' expected before 'a': 'not' is written '~'"),
    ],
)
def test_words_for_signs_are_told_how_they_are_written(text: str, said: str) -> None:
    with pytest.raises(BadTags) as caught:
        parse(text)

    assert said in str(caught.value)


def test_of_a_long_expression_the_part_around_the_problem_is_shown() -> None:
    with pytest.raises(BadTags) as caught:
        parse(" & ".join(f"tag{n}" for n in range(100)) + " & & b")

    assert len(str(caught.value)) < 200
    assert "tag99 & & b'" in str(caught.value)


@pytest.mark.parametrize(("text", "position", "says"), rows(PROBLEMS))
def test_a_bad_expression_is_refused_with_its_position(text: str, position: str, says: str) -> None:
    with pytest.raises(BadTags) as caught:
        parse(text)

    assert caught.value.position == int(position)
    assert says.replace("_", " ") in str(caught.value)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(("text", "named"), rows(NAMED))
def test_an_expression_names_what_it_asks_for_and_not_what_it_shuns(text: str, named: str) -> None:
    assert parse(text).named == tag_set(named)


def test_blanks_make_no_difference() -> None:
    assert parse("a&(b|~c)") == parse("  a & ( b | ~ c ) ")


def test_two_words_without_a_sign_are_refused() -> None:
    with pytest.raises(BadTags, match="position 3: '&' or '|' expected before 'b'"):
        parse("a b")


def test_depth_is_bounded() -> None:
    deepest = DEPTH_MAX - 1
    parse("(" * deepest + "a" + ")" * deepest)

    with pytest.raises(BadTags, match="nested deeper"):
        parse("(" * DEPTH_MAX + "a" + ")" * DEPTH_MAX)
    with pytest.raises(BadTags, match="nested deeper"):
        parse("~" * 1000 + "a")


_TEXTS = st.recursive(
    st.sampled_from("abc"),
    lambda inner: st.one_of(
        inner.map("~({})".format),
        inner.map("~{}".format),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]} & {pair[1]})"),
        st.tuples(inner, inner).map(lambda pair: f"{pair[0]} | {pair[1]}"),
    ),
    max_leaves=8,
)


@given(_TEXTS, st.frozensets(st.sampled_from("abc")))
def test_what_is_printed_reads_back_the_same(text: str, tags: frozenset[str]) -> None:
    try:
        expression = parse(text)
    except BadTags:
        return  # nested too deep

    assert parse(str(expression)).holds(tags) == expression.holds(tags)


@given(st.text(alphabet="ab&|~() $", max_size=12))
def test_any_text_is_read_or_refused_in_its_bounds(text: str) -> None:
    try:
        parse(text)
    except BadTags as bad:
        assert 1 <= bad.position <= len(text) + 1
