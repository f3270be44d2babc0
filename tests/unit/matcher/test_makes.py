"""What is made at random for these tests leaves nothing out: else they test less than they say."""

from typing import Final

import msgspec
import pytest
from hypothesis import Phase, find, settings

from pilotage.matcher.clauses.clause_table import table
from pilotage.proto.documents.job import Need
from tests.matcher.rule import misfits

from .makes import COMPATIBLE, NEEDS, OFFERS, spec

CLAUSES: Final = table(COMPATIBLE)
ITS: Final = spec(1, group="dpps", owner="eve", type="Production")
# Whatever is found will do: nobody reads it.
SOME: Final = settings(max_examples=500, database=None, phases=[Phase.generate])


@pytest.mark.parametrize("field", Need.__struct_fields__)
def test_each_field_of_a_need_is_drawn(field: str) -> None:
    default = getattr(Need(), field)

    assert find(NEEDS, lambda need: getattr(need, field) != default, settings=SOME)


@pytest.mark.parametrize("clause", [clause.name for clause in CLAUSES])
def test_each_clause_refuses_some_need_that_is_drawn_on_some_offer(clause: str) -> None:
    def is_refused(need: Need) -> bool:
        return any(clause in misfits(need, there, clauses=CLAUSES, spec=ITS) for there in OFFERS)

    assert find(NEEDS, is_refused, settings=SOME)


@pytest.mark.parametrize("clause", [clause.name for clause in CLAUSES])
def test_each_clause_is_met_by_some_offer_where_something_is_asked_of_it(clause: str) -> None:
    (its,) = (one for one in CLAUSES if one.name == clause)

    def is_met(need: Need) -> bool:
        return its.asks(its.wants(need, ITS)) and any(
            not its.refuses(need, ITS, there) for there in OFFERS
        )

    assert find(NEEDS, is_met, settings=SOME)


def test_each_field_of_a_node_is_known_of_some_offer() -> None:
    nodes = [there.node for there in OFFERS]
    unknown = [
        field.name
        for field in msgspec.structs.fields(nodes[0])
        if all(getattr(node, field.name) == field.default for node in nodes)
    ]

    assert unknown == []
