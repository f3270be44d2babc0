"""Needs that ask for the same are written the same, so that their jobs are of one class."""

from itertools import permutations
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from pilotage.central.jobs.definition.normal_form import normal_needs, normal_preference
from pilotage.matcher.clauses import clause_table
from pilotage.proto.documents.job import Need, Preference
from tests.matcher.rule import misfits
from tests.unit.matcher.makes import NEEDS, OFFERS

ALIKE: list[list[dict[str, Any]]] = [
    [{"sites": order} for order in permutations(("PIC", "CSCS", "DESY"))]
    + [{"sites": ("PIC", "CSCS", "PIC", "DESY")}],
    [{"banned_sites": ("A", "B")}, {"banned_sites": ("B", "A", "B")}],
    [{"tags": "a & (b | ~c)"}, {"tags": "(~c|b)&a"}, {"tags": "a & a & (b | ~~~c)"}],
    [{"tags": "a & (b & c)"}, {"tags": "c & b & a"}],
    [{"tags": ""}, {"tags": "  "}, {}],
    [{"cores_min": 2}, {"cores_min": 2, "cores_max": 2}],
    [{"gpus_min": 2}, {"gpus_min": 2, "gpus_max": 2}],
    [{"amounts": {"b": 1, "a": 2, "c": 0}}, {"amounts": {"a": 2, "b": 1}}],
]
APART: list[list[dict[str, Any]]] = [
    [{"sites": ("PIC",)}, {"sites": ("pic",)}, {"banned_sites": ("PIC",)}],
    [{"tags": "a & b"}, {"tags": "a | b"}, {"tags": "~a & b"}, {"tags": "A & b"}],
    [{"cores_min": 2}, {"cores_min": 2, "cores_max": 3}],
    [{"amounts": {"a": 1}}, {"amounts": {"a": 2}}, {"amounts": {"b": 1}}, {}],
    [{"tags": "a & b | c"}, {"tags": "a & (b | c)"}],
]


@pytest.mark.parametrize("alike", ALIKE, ids=str)
def test_needs_that_ask_for_the_same_become_equal(alike: list[dict[str, Any]]) -> None:
    assert len({msgspec.json.encode(normal_needs((Need(**one),))) for one in alike}) == 1


@pytest.mark.parametrize("apart", APART, ids=str)
def test_needs_that_differ_stay_apart(apart: list[dict[str, Any]]) -> None:
    assert len({normal_needs((Need(**one),)) for one in apart}) == len(apart)


def test_the_order_of_alternatives_stays_because_the_first_that_fits_is_taken() -> None:
    few, many = Need(cores_min=1), Need(cores_min=8)

    assert normal_needs((many, few)) == (many, few)


def test_preferred_sites_are_a_set_too() -> None:
    one, other = Preference(sites=("A", "B"), for_s=5), Preference(sites=("B", "A", "A"), for_s=5)

    assert normal_preference(one) == normal_preference(other) == one
    assert normal_preference(None) is None


@given(NEEDS, st.sampled_from(["", "~gpu & ~cvmfs", "gpu & (cvmfs | ~gpu)", "~~gpu | cvmfs&gpu"]))
@settings(max_examples=60)
def test_a_normal_need_fits_where_the_need_fits(need: Need, tags: str) -> None:
    need = msgspec.structs.replace(need, tags=tags)
    (normal,) = normal_needs((need,))
    table = clause_table.table({})

    assert normal_needs((normal,)) == (normal,)
    assert len(normal.tags) <= len(need.tags)
    for there in OFFERS:
        assert misfits(normal, there, clauses=table) == misfits(need, there, clauses=table)
