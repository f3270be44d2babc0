"""Facets and stand-ins: short cuts that must say what the clause says."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from pilotage.matcher.clauses.clause_table import table
from pilotage.matcher.clauses.facets import NEW_MAX
from pilotage.matcher.clauses.word_bits import FEW_MAX
from pilotage.matcher.index.representative_offers import RepresentativeOffers
from pilotage.matcher.platforms import ANY
from pilotage.matcher.types import LiveOffer, NodeFacts
from pilotage.proto.documents.job import Need

from .makes import COMPATIBLE, OFFERS, offer, spec

CLAUSES = {clause.name: clause for clause in table(COMPATIBLE)}
NEEDS = (
    Need(),
    Need(sites=("PIC",), os="el8", cores_min=4, memory_mb=4000, tags="gpu"),
    Need(banned_sites=("PIC",), os="el", wall_s=3600, gpus_min=1, glibc_min="2.34"),
    Need(element="ce2", architecture="aarch64", whole_node=True, architecture_level_min=4),
)


def rows(count: int, seed: int) -> list[Need]:
    """Return needs of which some are seldom, and some fill the rows."""
    random = Random(seed)
    return [NEEDS[min(int(random.expovariate(0.9)), len(NEEDS) - 1)] for _ in range(count)]


@pytest.mark.parametrize("name", CLAUSES)
@pytest.mark.parametrize("count", [1, FEW_MAX, FEW_MAX + 1, 300])
def test_a_facet_answers_for_all_rows_what_the_clause_answers_for_each(
    name: str, count: int
) -> None:
    clause = CLAUSES[name]
    facet = clause.facet()
    needs = rows(count, seed=count)
    half = count // 2
    its = spec()
    for place, need in enumerate(needs):
        if place == half:  # asked before the others came, so that those are added to the answer
            for there in OFFERS[::2]:
                facet.accepting(clause.has(there))
        facet.add(clause.wants(need, its))

    for there in OFFERS:
        accepted = facet.accepting(clause.has(there))

        assert [bool(accepted >> place & 1) for place in range(count)] == [
            not clause.refuses(need, its, there) for need in needs
        ]
        assert accepted < 1 << count


def with_rare(**facts: Any) -> LiveOffer:
    return offer(node=NodeFacts(**facts))


def test_offers_that_no_demand_tells_apart_have_one_stand_in() -> None:
    clause = CLAUSES["glibc"]
    facet = clause.facet()
    facet.add(clause.wants(Need(), spec()))
    stand_ins = RepresentativeOffers()
    old, new = with_rare(glibc=(2, 17)), with_rare(glibc=(2, 34))

    assert stand_ins.of((old.node,)) is stand_ins.of((new.node,))

    facet.add(clause.wants(Need(glibc_min="2.28"), spec()))
    stand_ins.ask([(0, facet)])

    assert stand_ins.of((new.node,)) is not stand_ins.of((old.node,))

    facet.add(clause.wants(Need(glibc_min="2.28"), spec()))
    stand_ins.ask([(0, facet)])

    assert stand_ins.of((with_rare(glibc=(2, 31)).node,)) is stand_ins.of((new.node,))


TAGS = ("a", "b", "c", "d")
EXPRESSIONS = st.recursive(
    st.sampled_from(TAGS),
    lambda part: st.one_of(
        part.map(lambda it: f"~({it})"),
        st.tuples(part, st.sampled_from("&|"), part).map(lambda its: f"({''.join(its)})"),
    ),
    max_leaves=12,
)


@given(
    st.lists(EXPRESSIONS, min_size=1, max_size=2 * NEW_MAX),
    st.frozensets(st.sampled_from((*TAGS, ANY))),
    st.integers(0, 2 * NEW_MAX),
)
@settings(max_examples=200, deadline=None)
def test_choices_of_words_say_what_tag_expressions_say(
    texts: list[str], had: frozenset[str], before: int
) -> None:
    clause = CLAUSES["tags"]
    facet = clause.facet()
    needs = [Need(tags=text) for text in texts]
    for at, need in enumerate((*needs, *needs)):
        if at == before:
            facet.accepting(had)
        facet.add(clause.wants(need, spec()))
    accepted = facet.accepting(had)
    facet.check()

    assert accepted < 1 << 2 * len(needs)


def odd(number: int, words: int) -> str:
    """Return an expression that none else has, and of which only the last choice is not met."""
    return "&".join(f"(c|x{number}.{at})" for at in range(words)) + f"&(n{number}|o)"


WORDED: list[tuple[str, Callable[[int], Need], Any]] = [
    ("tags", lambda number: Need(tags=odd(number, words=20)), frozenset("c")),
    ("element", lambda number: Need(element=f"ce{number}"), "ce7"),
    ("banned_sites", lambda number: Need(banned_sites=(f"S{number}",)), "S7"),
    ("required_tags", lambda number: Need(tags=f"a&b{number}"), frozenset(("a", "b7"))),
]


@pytest.mark.parametrize(("name", "need", "had"), WORDED)
def test_what_words_say_is_asked_of_no_row_however_many_want_different_things(
    name: str, need: Callable[[int], Need], had: Any
) -> None:
    clause = CLAUSES[name]
    facet = clause.facet()
    for number in range(1_000):
        facet.add(clause.wants(need(number), spec()))
    facet.accepting(had)
    asked_of_many = facet.questions

    facet.add(clause.wants(need(1_000), spec()))
    facet.accepting(had)

    assert asked_of_many == 0
    assert facet.questions == 1, "what is known is kept when a row comes"
