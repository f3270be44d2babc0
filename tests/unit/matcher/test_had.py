"""What kinds of offers have: words must say what the clause says."""

from typing import Any

import pytest

from pilotage.matcher.clauses import table
from pilotage.matcher.had import Had
from pilotage.matcher.platforms import ANY
from pilotage.proto.job import Need

from .makes import COMPATIBLE, OFFERS, offer, spec

CLAUSES = {clause.name: clause for clause in table(COMPATIBLE) if not clause.is_number}
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
def test_kinds_that_meet_a_wish_are_those_that_the_clause_does_not_deny(name: str) -> None:
    clause = CLAUSES[name]
    had = Had(clause)
    for at, there in enumerate(THERE):
        had.add(clause.has(there), 1 << at)
    for its in (spec(), spec(type="Test", owner="ann")):
        for need in NEEDS:
            exact = sum(
                1 << at for at, there in enumerate(THERE) if not clause.refuses(need, its, there)
            )

            assert had.taking(clause.wants(need, its), (1 << len(THERE)) - 1) == exact, need


def test_words_are_not_asked_of_each_kind_of_offer() -> None:
    wishes: dict[str, Any] = {"tags": Need(tags="t7 & (x | y)"), "element": Need(element="ce7")}
    for name, need in wishes.items():
        clause = CLAUSES[name]
        had = Had(clause)
        for at in range(300):
            had.add(clause.has(offer(tags=frozenset((f"t{at}", "x")), element=f"ce{at}")), 1 << at)

        assert had.taking(clause.wants(need, spec()), (1 << 300) - 1) == 1 << 7
        assert not had.questions
