"""Facts of offers as bits: words must say what the rule of the clause says."""

from typing import Any

import pytest

from pilotage.matcher.clauses.clause_table import table
from pilotage.matcher.clauses.fact_bits import OFTEN, FactBits
from pilotage.matcher.platforms import ANY
from pilotage.proto.documents.job import Need

from .makes import COMPATIBLE, OFFERS, offer, spec

CLAUSES = {clause.name: clause for clause in table(COMPATIBLE)}
THERE = (
    *OFFERS,
    offer(tags=frozenset((ANY,)), element=ANY, architecture=ANY),
    offer(tags=frozenset("ab"), types=frozenset((ANY,))),
    offer(tags=frozenset("bc"), types=frozenset(("Test",)), owners=frozenset(("ann",))),
    offer(tags=frozenset("d"), site=ANY),
)
NEEDS = (
    Need(),
    Need(sites=("PIC", "CSCS"), element="ce1", os="el8", tags="a & (b | ~c)"),
    Need(banned_sites=("PIC",), architecture="aarch64", tags="~a & ~(b & c)", glibc_min="2.30"),
    Need(tags="a & b & d | b & c & ~d | d & ~a & ~b | ~a & ~b & ~c"),
    Need(tags="~d"),
)


@pytest.mark.parametrize("name", CLAUSES)
def test_a_clause_accepts_the_offers_that_its_rule_does_not_refuse(name: str) -> None:
    clause = CLAUSES[name]
    had = list(map(clause.has, THERE))
    facts, column = FactBits(had), clause.column(had)
    few = facts.all & 0b1011
    for its in (spec(), spec(type="Test", owner="ann")):
        for need in NEEDS:
            exact = sum(
                1 << at for at, there in enumerate(THERE) if not clause.refuses(need, its, there)
            )

            wants = clause.wants(need, its)
            assert clause.accepting(wants, facts, facts.all) == exact, need
            assert clause.accepting(wants, facts, few) == exact & few, need
            for _ in range(OFTEN // 4):  # the column takes another way when it is asked often
                assert column.accepting(clause, wants) == exact, need


def test_words_are_not_asked_of_each_kind_of_offer() -> None:
    wishes: dict[str, Any] = {"tags": Need(tags="t7 & (x | y)"), "element": Need(element="ce7")}
    for name, need in wishes.items():
        clause = CLAUSES[name]
        facts = FactBits(
            clause.has(offer(tags=frozenset((f"t{at}", "x")), element=f"ce{at}"))
            for at in range(300)
        )

        assert clause.accepting(clause.wants(need, spec()), facts, facts.all) == 1 << 7
        assert not facts.questions
