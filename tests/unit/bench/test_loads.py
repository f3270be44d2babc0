"""The loads of the matcher's bench are what their names say."""

import msgspec
import pytest

from pilotage.matcher.types import LiveOffer
from pilotage.proto.documents.job import Need
from tests.bench.matcher import mixes
from tests.bench.matcher.loads import production


def in_use(values: list[msgspec.Struct]) -> set[str]:
    """Return the fields that some of the values set to something of their own."""
    return {
        field.name
        for field in msgspec.structs.fields(type(values[0]))
        if field.required or any(getattr(one, field.name) != field.default for one in values)
    }


def test_every_clause_is_in_use_in_the_load_of_all_clauses() -> None:
    load = mixes.all_clauses(2_000, 2_000)
    needs: list[msgspec.Struct] = [need for spec in load.specs for need in spec.needs]

    assert in_use(needs) == {field.name for field in msgspec.structs.fields(Need)}
    assert in_use(list(load.offers)) == {field.name for field in msgspec.structs.fields(LiveOffer)}


def test_no_two_needs_are_alike_where_all_are_distinct() -> None:
    load = mixes.distinct(2_000)

    assert len({spec.needs for spec in load.specs}) == 2_000


@pytest.mark.parametrize("jobs", [10_000, 0])
def test_the_production_is_scaled(jobs: int) -> None:
    load = production(jobs)

    assert len(load.specs) == 501
    assert load.jobs == pytest.approx(jobs or 871_973, rel=0.03)
    assert len({offer.pilot for offer in load.offers}) == len(load.offers) == 5_000


def test_most_pilots_of_the_production_find_a_job() -> None:
    load = production(10_000)
    matcher = load.matcher()
    idle = [offer.pilot for offer in load.offers[:500] if not matcher.match(offer, 1, 0.0)]

    assert len(idle) < 100
