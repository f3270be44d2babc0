"""Advice that is followed gives the stated number of offers; each waiting job has a reason."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from pilotage.central.errors import Refused
from pilotage.central.jobs.definition.checks import check
from pilotage.matcher import Matcher
from pilotage.matcher.explanation.advice import PROPOSE, fields_of
from pilotage.matcher.rules import Rules, RunningLimit
from pilotage.matcher.types import ClassSpec, LiveOffer
from pilotage.proto.api.explanations import Advice
from pilotage.proto.documents.job import Job, Need
from tests.matcher.rule import first_fitting

from .makes import COMPATIBLE, NEEDS, OFFERS, offer, spec
from .test_machine import RULES, THERE
from .test_next_match import ASKS, CLASSES, class_of, told


def changed(there: LiveOffer, changes: dict[str, Any]) -> LiveOffer:
    return msgspec.structs.replace(there, **changes)


# Offers that differ in one number or word, so that single clauses stand alone in the way.
NEAR = st.builds(
    changed,
    st.sampled_from(OFFERS[:13]),
    st.fixed_dictionaries(
        {},
        optional={
            "memory_free_mb": st.integers(0, 4_000),
            "scratch_free_mb": st.integers(0, 120),
            "core_work_left_hs23_s": st.sampled_from([0.0, 0.4, 333.4, 999.9, 2_000.0]),
            "wall_left_s": st.sampled_from([0.0, 0.5, 59.9, 600.0]),
            "required_tags": st.sampled_from(
                [frozenset(), frozenset(["gpu"]), frozenset(map(str, range(9)))]
            ),
            "groups": st.sampled_from([frozenset(), frozenset(["dpps", "ops"])]),
        },
    ),
)


def followed(its: ClassSpec, advice: Advice) -> ClassSpec:
    """Do to a job what a piece of advice says."""
    of_job = {name: value for name, value in advice.change.items() if name in {*_OF_JOB}}
    rest = {name: value for name, value in advice.change.items() if name not in of_job}
    asked = msgspec.to_builtins(its.needs[advice.need]) | rest
    needs = list(its.needs)
    needs[advice.need] = msgspec.convert(asked, Need)
    return msgspec.structs.replace(its, needs=tuple(needs), **of_job)


_OF_JOB = ("group", "owner", "type")


def can_be_submitted(its: ClassSpec) -> bool:
    try:
        check(Job(command=("x",), needs=its.needs), "job")
    except Refused:
        return False
    return True


def fitting(its: ClassSpec, offers: Sequence[LiveOffer], matcher: Matcher) -> int:
    """Count offers with the exact rule."""
    return sum(first_fitting(its, one, clauses=matcher.clauses) is not None for one in offers)


@settings(max_examples=200, deadline=None)
@given(needs=st.lists(NEEDS, min_size=1, max_size=2), offers=st.lists(NEAR, min_size=1, max_size=8))
def test_advice_that_is_followed_gives_the_stated_number_of_offers(
    needs: list[Need], offers: list[LiveOffer]
) -> None:
    its, matcher = spec(1, *needs), Matcher(Rules(compatible=COMPATIBLE))
    before = fitting(its, offers, matcher)

    for advice in matcher.explain(None, its, offers, 0.0).advice:
        new = followed(its, advice)

        assert fitting(new, offers, matcher) == advice.offers > before, advice
        assert can_be_submitted(new) or not can_be_submitted(its)


#   what a job asks, what an offer has instead → what is said, and the change
SAID: list[tuple[dict[str, Any], dict[str, Any], str, dict[str, Any]]] = [
    (
        {"memory_mb": 1_000, "memory_per_core_mb": 3_000, "cores_min": 4},
        {"memory_free_mb": 12_500},
        "with memory ≤ 12500 MB for 4 cores: 1 offer",
        {"memory_mb": 500},
    ),
    (
        {"memory_per_core_mb": 5_000, "cores_min": 4},
        {},
        "with memory ≤ 16000 MB for 4 cores: 1 offer",
        {"memory_mb": 0, "memory_per_core_mb": 4_000},
    ),
    (
        {"cpu_work_hs23_s": 9_000, "cores_min": 4},
        {"core_work_left_hs23_s": 1_000.5},
        "with cpu work ≤ 4002 HS23 s: 1 offer",
        {"cpu_work_hs23_s": 4_002},
    ),
    # Fewer cores would each have more work to do.
    (
        {"cores_min": 8, "cpu_work_hs23_s": 8_000},
        {"cores_free": 4, "core_work_left_hs23_s": 1e3},
        "with cores ≤ 4 and with cpu work ≤ 4000 HS23 s: 1 offer",
        {"cores_min": 4, "cpu_work_hs23_s": 4_000},
    ),
    # Without any tag it would not ask for the required one.
    (
        {"tags": "gpu & avx"},
        {"required_tags": frozenset(["gpu"])},
        "without its demand on tags and if it asked for the tag gpu: 1 offer",
        {"tags": "gpu"},
    ),
    # Fewer cores alone also take less memory.
    (
        {"cores_min": 16, "memory_per_core_mb": 2_000},
        {"cores_free": 2, "memory_free_mb": 4_000},
        "with cores ≤ 2: 1 offer",
        {"cores_min": 2},
    ),
    # Time and free disk go down until somebody follows the advice.
    ({"wall_s": 9_000}, {"wall_left_s": 7_089.0}, "with wall ≤ 6600 s: 1 offer", {"wall_s": 6_600}),
    (
        {"gpus_min": 1, "gpu_vendor": ""},
        {},
        "if it asked for no GPU: 1 offer",
        dict.fromkeys(["gpus_min", "gpus_max", "gpu_memory_mb"], 0),
    ),
    (
        {"tags": "cvmfs | ssd"},
        {"tags": frozenset(["cvmfs"]), "required_tags": frozenset(["gpu", "x"])},
        "if it asked for the tags gpu, x: 1 offer",
        {"tags": "(cvmfs | ssd) & gpu & x"},
    ),
]


@pytest.mark.parametrize(("wanted", "had", "text", "change"), SAID, ids=str)
def test_advice_names_the_fields_to_change(
    wanted: dict[str, Any], had: dict[str, Any], text: str, change: dict[str, Any]
) -> None:
    its = spec(1, msgspec.structs.replace(Need(), **wanted))

    (advice,) = Matcher().explain(None, its, [offer(**had)], 0.0).advice

    assert advice.text == text
    assert advice.change.items() >= change.items()


#   what a job asks, what an offer has instead: a change of one demand helps nowhere
NO_ADVICE: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"cores_free": 0}),
    ({}, {"wall_left_s": 0.5}),
    ({}, {"required_tags": frozenset(map(str, range(40)))}),
]


@pytest.mark.parametrize(("wanted", "had"), NO_ADVICE, ids=str)
def test_no_advice_is_given_that_would_not_help(
    wanted: dict[str, Any], had: dict[str, Any]
) -> None:
    its = spec(1, msgspec.structs.replace(Need(), **wanted))

    assert Matcher().explain(None, its, [offer(**had)], 0.0).advice == []


def test_advice_says_how_many_offers_fit_without_it() -> None:
    its = spec(1, Need(memory_mb=9_000))
    there = [offer("p1"), offer("p2", memory_free_mb=8_000)]

    assert Matcher().explain(None, its, there, 0.0).notes[-1] == (
        "with memory ≤ 8000 MB: 2 offers instead of 1"
    )


def test_the_change_of_the_fewest_demands_comes_first() -> None:
    its = spec(1, Need(cores_min=4, memory_mb=5_000, sites=("PIC",)))
    small = [offer(f"p{n}", site="CSCS", cores_free=1, memory_free_mb=3_000) for n in range(2)]
    there = [*small, offer("p3", cores_free=2, memory_free_mb=4_000)]

    texts = [one.text for one in Matcher().explain(None, its, there, 0.0).advice]

    assert texts[0] == "with cores ≤ 2 and with memory ≤ 4000 MB: 1 offer"
    assert texts[1].endswith(": 3 offers")


def test_every_clause_proposes_something() -> None:
    names = {clause.name for clause in Matcher().clauses}

    assert set(PROPOSE) <= names
    assert all(map(fields_of, names - set(PROPOSE)))


# -- reasons ----------------------------------------------------------------------------------


def test_only_needs_that_fit_an_offer_are_asked_whether_a_limit_holds_the_job() -> None:
    """The need for a GPU node fits nowhere, so its tag must not be asked for a limit."""
    limit = RunningLimit(where="PIC", by="tag", value="cvmfs", most=0)
    its = spec(1, Need(tags="gpu"), Need(tags="cvmfs"))
    matcher = Matcher(Rules(running=(limit,)))

    said = matcher.explain(None, its, [offer(tags=frozenset(["cvmfs"]))], 0.0)

    assert (said.fitting, said.held) == (1, 1)
    assert "at PIC, no job of tag cvmfs may run: 1 of the offers" in said.notes


def test_a_reservation_that_keeps_a_narrow_job_waiting_is_told() -> None:
    matcher, now = Matcher(Rules(reserve_after_s=0.0)), 0.0
    wide, narrow = spec(1, Need(cores_min=8, wall_s=60)), spec(2, Need(wall_s=7_200), owner="bob")
    running, left = spec(3, Need(wall_s=3_600), owner="eve"), offer(cores_free=7)
    for its, jobs in ((running, [1]), (wide, [2])):
        matcher.add_class(its)
        matcher.add(its.class_id, 5, jobs)
    matcher.match(offer(), 1, now)
    matcher.confirm(1)
    matcher.match(left, 1, 1.0)
    matcher.add_class(narrow)
    matcher.add(2, 5, [3])
    assert matcher.match(left, 1, 2.0) == []

    said = matcher.explain(3, narrow, [offer()], 2.0, free=lambda empty: left)

    assert (said.with_room, said.next_on) == (1, 0)
    assert said.notes[0] == (
        "1 offer with room now is reserved for a job that needs more of it, for at most 3598 s: "
        "this job would not end before"
    )


@settings(max_examples=150, deadline=None)
@given(
    classes=CLASSES,
    asks=ASKS,
    offers=st.lists(THERE, max_size=3),
    wake=st.booleans(),
    reserves=st.booleans(),
)
def test_every_waiting_job_has_a_true_reason(
    classes: list[Any], asks: list[Any], offers: list[LiveOffer], wake: bool, reserves: bool
) -> None:
    rules = msgspec.structs.replace(RULES, reserve_after_s=0.0 if reserves else 1e9)
    matcher, now = told(rules, classes, asks, wake=wake)
    for number, made in enumerate(classes):
        its = class_of(number, made)
        for job in range(4 * number, 4 * number + 4):
            if job not in matcher:
                continue
            said = matcher.explain(job, its, offers, now)

            if said.state == "Matched":
                assert said.notes == ["it is being handed to a pilot"]
            elif not said.fitting:
                assert said.obstacles or said.notes[0] in _NO_OFFER
            else:
                assert said.next_on or any(why in note for why in _REASONS for note in said.notes)
            assert said.fitting == fitting(its, offers, matcher)


_NO_OFFER = ("no pilot offers capacity now", "it is kept for a pilot that was woken for it")
_REASONS = (
    "come first",
    "reserved for",
    "kept for",
    "banned",
    "start",
    "at most",
    "may run",
    "woken for it",
    "no limit sets the total",
)
