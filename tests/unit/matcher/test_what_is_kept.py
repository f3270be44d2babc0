"""What offers say is kept within bounds of bytes, and what no row speaks of makes no difference."""

import tracemalloc
from typing import Any

import pytest

from pilotage.matcher import Matcher
from pilotage.matcher.clauses import facets
from pilotage.matcher.clauses.clause_table import table
from pilotage.matcher.clauses.facets import NEW_MAX
from pilotage.matcher.clauses.key_sizes import HEAVY, weight
from pilotage.matcher.index import representative_offers as stand_ins, rows
from pilotage.matcher.index.representative_offers import RepresentativeOffers
from pilotage.matcher.parked_offers import offer_kinds as kinds
from pilotage.matcher.platforms import ANY
from pilotage.proto.documents.job import Need
from tests.matcher.invariants import check

from .makes import offer, spec

KEPT_MAX = 256 << 10  # bytes of each kind, instead of up to 16 MiB: so few asks reach it
GROWTH_MAX = 2 << 20
SETS = ("tags", "required_tags", "groups", "owners", "types")
LIMITS = (
    (facets, "KEYS_BYTES_MAX"),
    (kinds, "GONE_BYTES_MAX"),
    (rows, "WORDS_BYTES_MAX"),
    (stand_ins, "KEYS_BYTES_MAX"),
)
CLAUSES = {clause.name: clause for clause in table({})}


def words(ask: int, count: int, length: int) -> frozenset[str]:
    return frozenset(f"{ask}.{at}".ljust(length, "x") for at in range(count))


def waiting(classes: int = 40) -> Matcher:
    matcher = Matcher()
    for number in range(1, classes + 1):
        matcher.add_class(spec(number, Need(tags=f"t{number} & ~u{number}")))
        matcher.add(number, 5, [number])
    return matcher


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize(
    ("count", "length", "asks"), [(256, 128, 120), (60, 128, 300), (12, 20, 1_600)]
)
def test_one_pilot_that_asks_with_other_words_each_time_fills_no_memory(
    name: str, count: int, length: int, asks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, limit in LIMITS:
        monkeypatch.setattr(module, limit, KEPT_MAX)
    matcher = waiting()
    tracemalloc.start()
    try:
        for ask in range(asks):
            said: dict[str, Any] = {name: words(ask, count, length)}
            there = offer(**said)
            matcher.match(there, 1, float(ask))
            matcher.park(there, ask, float(ask))
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert grown < GROWTH_MAX
    check(matcher)


def test_a_key_of_many_words_is_kept_by_nobody() -> None:
    heavy = words(1, 256, 128)
    stands = RepresentativeOffers()
    facet = CLAUSES["tags"].facet()
    facet.add(CLAUSES["tags"].wants(Need(tags="a & ~b"), spec()))
    stands.of((heavy, frozenset("a")))
    facet.accepting(heavy | frozenset("a"))

    assert weight((heavy,)) > HEAVY
    assert not stands.known
    assert list(facet.answers) == [frozenset("a")]


NEEDS = ("", "a", "~a", "a | ~b", "a & b | c & d | e & f | g & h | i & j", "~(a & c)", "z")
HAD = (
    frozenset[str](),
    frozenset("a"),
    frozenset(("a", "b", "unsaid")),
    frozenset(("unsaid",)),
    frozenset(("z", "unsaid")),
    frozenset(("c", "d", "sim")),
    frozenset((ANY, "unsaid")),
)


@pytest.mark.parametrize("name", ["tags", "required_tags", "group", "owner", "type"])
@pytest.mark.parametrize("rounds", [1, NEW_MAX])
def test_words_that_no_row_speaks_of_make_no_difference_until_one_does(
    name: str, rounds: int
) -> None:
    clause = CLAUSES[name]
    facet = clause.facet()
    wants: list[Any] = []
    for text in (*NEEDS * rounds, "unsaid"):
        its = spec(group=text or "sim", owner=text or "ada", type=text or "User")
        wants.append(clause.wants(Need(tags=text), its))
        facet.add(wants[-1])
        if len(wants) % len(NEEDS) < 2:
            for had in HAD:
                exact = sum((not clause.denies(its, had)) << row for row, its in enumerate(wants))

                assert facet.accepting(had) == exact, (name, had)
    facet.check()
