"""Needs against many offers at once: the same answers as the plain rule, offer by offer."""

from hypothesis import given, settings, strategies as st

from pilotage.matcher.clauses.clause_table import table
from pilotage.matcher.explanation.offer_bits import OfferBits
from pilotage.matcher.types import LiveOffer
from pilotage.proto.documents.job import Need
from tests.matcher.rule import misfits

from .makes import COMPATIBLE, NEEDS, OFFERS, spec

CLAUSES = table(COMPATIBLE)
ITS = spec(1, type="Merge")


@settings(max_examples=200, deadline=None)
@given(
    needs=st.lists(NEEDS, min_size=1, max_size=3),
    offers=st.lists(st.sampled_from(OFFERS), max_size=12),
)
def test_a_look_says_of_each_offer_what_the_rule_says(
    needs: list[Need], offers: list[LiveOffer]
) -> None:
    looked_at = OfferBits(CLAUSES, offers)
    for need in needs:
        look = looked_at.look(need, ITS)
        refusals = [misfits(need, there, clauses=CLAUSES, spec=ITS) for there in offers]

        assert looked_at.some(look.fitting) == [
            there for there, refused in zip(offers, refusals, strict=True) if not refused
        ]
        for miss in look.misses:
            name = miss.clause.name
            assert miss.excludes == sum(name in refused for refused in refusals) > 0
            assert len(miss.alone) == sum(refused == [name] for refused in refusals)
            is_alone = miss.alone and not miss.clause.shows_all  # of tags
            assert len(miss.nearest) == (len(miss.alone) if is_alone else miss.excludes)
        assert {miss.clause.name for miss in look.misses} == {
            name for refused in refusals for name in refused
        }


def test_what_asks_nothing_of_a_clause_is_refused_by_no_offer() -> None:
    idle = {it.name: it for it in CLAUSES if not it.asks(it.wants(Need(), ITS))}
    for name, clause in idle.items():
        wants = clause.wants(Need(), ITS)
        assert not any(clause.denies(wants, clause.has(there)) for there in OFFERS), name

    asks = {clause.name for clause in CLAUSES} - set(idle)

    assert asks == {"community", "group", "owner", "type", "cores", "wall", "required_tags"}
