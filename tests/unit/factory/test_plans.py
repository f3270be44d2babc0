"""How many pilots go where: a table of small cases, and promises over random ones."""

import random

import pytest

from pilotage.central.factory.planning.plans import (
    Demand,
    ElementShape,
    ElementState,
    FactoryPlan,
    PlaceBlocker,
    PlanBounds,
    merged,
    plan,
    why_none,
)

BOUNDS = PlanBounds()


def element(name: str = "pic", **given: object) -> ElementState:
    usual = {"pilots_max": 100, "queued_max": 50, "submit_max": 50, "cancel_max": 50}
    return ElementState(name, **{**usual, **given})  # type: ignore[arg-type]


ONE = [ElementShape(0, cores=1)]
CASES: dict[str, tuple[list[ElementShape], list[ElementState], list[Demand], FactoryPlan]] = {
    "nothing waits": (ONE, [element()], [], FactoryPlan()),
    "a pilot a job": (ONE, [element()], [Demand(1, 3)], FactoryPlan({0: 3})),
    "what is on its way is enough": (
        [ElementShape(0, cores=1, queued=3)],
        [element(pilots=3, queued=3)],
        [Demand(1, 3)],
        FactoryPlan(),
    ),
    "only what is missing": (
        [ElementShape(0, cores=1, queued=2)],
        [element(pilots=2, queued=2)],
        [Demand(1, 5)],
        FactoryPlan({0: 3}),
    ),
    "several jobs a pilot": (
        [ElementShape(0, cores=8)],
        [element()],
        [Demand(1, 17)],
        FactoryPlan({0: 3}),
    ),
    "memory bounds the jobs of a pilot": (
        [ElementShape(0, cores=8, memory_mb=16_000)],
        [element()],
        [Demand(1, 8, memory_mb=4_000)],
        FactoryPlan({0: 2}),
    ),
    "so do scratch and GPUs": (
        [ElementShape(0, cores=8, scratch_mb=80_000, gpus=2)],
        [element()],
        [Demand(1, 8, gpus=1), Demand(1, 8, scratch_mb=20_000)],
        FactoryPlan({0: 6}),
    ),
    "a job for a whole node has a pilot alone": (
        [ElementShape(0, cores=8)],
        [element()],
        [Demand(1, 3, whole_node=True)],
        FactoryPlan({0: 3}),
    ),
    "jobs that fit nowhere bring no pilot": (
        ONE,
        [element()],
        [Demand(0, 9)],
        FactoryPlan(unmet_jobs=9),
    ),
    "an element is not filled beyond what it may have": (
        ONE,
        [element(pilots=98)],
        [Demand(1, 9)],
        FactoryPlan({0: 2}, unmet_jobs=7),
    ),
    "nor its queue": (
        ONE,
        [element(queued_max=4, queued=1)],
        [Demand(1, 9)],
        FactoryPlan({0: 3}, {}, 6),
    ),
    "nor at once": (ONE, [element(submit_max=2)], [Demand(1, 9)], FactoryPlan({0: 2}, {}, 7)),
    "unknown is not nothing": (ONE, [element(pilots=None)], [Demand(1, 9)], FactoryPlan({}, {}, 9)),
    "what is unknown loses none": (
        [ElementShape(0, cores=1, queued=5)],
        [element(pilots=None, queued=5)],
        [],
        FactoryPlan(),
    ),
    "a closed element gets none": (
        ONE,
        [element(is_enabled=False)],
        [Demand(1, 1)],
        FactoryPlan({}, {}, 1),
    ),
    "pilots that nobody needs are taken back, some at a time": (
        [ElementShape(0, cores=1, queued=9)],
        [element(pilots=9, queued=9, cancel_max=4)],
        [Demand(1, 2)],
        FactoryPlan({}, {0: 4}),
    ),
    "pledges are kept": (
        [ElementShape(0, cores=1), ElementShape(1, cores=1)],
        [element("pic", pledge=3.0), element("cscs", pledge=1.0)],
        [Demand(0b11, 8)],
        FactoryPlan({0: 6, 1: 2}),
    ),
    "who is behind his pledge comes first": (
        [ElementShape(0, cores=1), ElementShape(1, cores=1)],
        [element("pic", pilots=6), element("cscs")],
        [Demand(0b11, 4)],
        FactoryPlan({1: 4}),
    ),
    "an opportunistic element takes what is left": (
        [ElementShape(0, cores=1), ElementShape(1, cores=1)],
        [element("pic", submit_max=3), element("spot", pledge=0.0)],
        [Demand(0b11, 5)],
        FactoryPlan({0: 3, 1: 2}),
    ),
    "who has no choice comes first": (
        [ElementShape(0, cores=1, queued=1), ElementShape(1, cores=1)],
        [element("pic", pilots=1, queued=1, submit_max=0), element("cscs")],
        [Demand(0b11, 1), Demand(0b01, 1)],
        FactoryPlan({1: 1}),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_plans(name: str) -> None:
    places, elements, demands, wanted = CASES[name]

    assert plan(places, elements, demands, BOUNDS) == wanted


def test_a_plan_is_bounded_in_all() -> None:
    found = plan(ONE, [element()], [Demand(1, 40)], PlanBounds(submit_max=7))
    full = plan(ONE, [element(pilots=5)], [Demand(1, 40)], PlanBounds(pilots_max=8))

    assert found.submit == {0: 7}
    assert full.submit == {0: 3}


def test_demands_that_differ_in_nothing_are_one() -> None:
    assert merged([Demand(1, 2), Demand(3, 1), Demand(1, 5), Demand(1, 1, cores=2)]) == [
        Demand(1, 7),
        Demand(3, 1),
        Demand(1, 1, cores=2),
    ]


@pytest.mark.parametrize("seed", range(60))
def test_no_limit_is_passed_and_no_demand_left_where_there_is_room(seed: int) -> None:
    chance = random.Random(seed)
    elements = [
        element(
            f"e{number}",
            pledge=chance.choice([0.0, 1.0, 2.0]),
            pilots=chance.choice([None, 0, 5]),
            queued=chance.choice([0, 3]),
            pilots_max=chance.randint(0, 20),
            queued_max=chance.randint(0, 10),
            submit_max=chance.randint(0, 10),
        )
        for number in range(30)
    ]
    places = [
        ElementShape(number, cores=chance.choice([1, 4]), queued=one.queued)
        for number, one in enumerate(elements)
    ]
    demands = [
        Demand(chance.getrandbits(30), chance.randint(1, 9), cores=chance.choice([1, 4]))
        for _ in range(10)
    ]
    bounds = PlanBounds(submit_max=chance.choice([5, 500]))

    found = plan(places, elements, demands, bounds)

    given = [found.submit.get(number, 0) for number in range(30)]
    for number, one in enumerate(elements):
        assert given[number] == 0 or one.pilots is not None
        assert given[number] <= max(0, one.pilots_max - (one.pilots or 0))
        assert given[number] <= max(0, one.queued_max - one.queued)
        assert given[number] <= one.submit_max
    assert sum(given) <= bounds.submit_max
    if found.unmet_jobs and sum(given) < bounds.submit_max:
        assert any(
            all(
                one.pilots is None
                or given[at] >= min(one.submit_max, one.pilots_max - one.pilots)
                or given[at] >= one.queued_max - one.queued
                for at, one in enumerate(elements)
                if demand.places >> at & 1
            )
            for demand in demands
        )


def test_a_place_takes_no_more_than_it_has_room_for() -> None:
    places = [
        ElementShape(0, cores=1, room=1),
        ElementShape(0, cores=8, room=0),
        ElementShape(1, cores=1),
    ]

    found = plan(places, [element("pic"), element("cscs")], [Demand(0b111, 9)], BOUNDS)

    assert found.submit == {0: 1, 2: 8}


def test_what_is_on_its_way_to_a_place_in_doubt_is_neither_counted_on_nor_taken_back() -> None:
    places = [ElementShape(0, cores=1, queued=5, in_doubt=True, room=0), ElementShape(1, cores=1)]
    elements = [element("pic", pilots=5, queued=5), element("cscs")]

    wanted = plan(places, elements, [Demand(0b11, 4)], BOUNDS)
    idle = plan(places, elements, [], BOUNDS)

    assert wanted == FactoryPlan({1: 4})
    assert idle == FactoryPlan()


@pytest.mark.parametrize("seed", range(40))
def test_rooms_of_places_hold_whatever_is_wanted(seed: int) -> None:
    chance = random.Random(seed)
    elements = [
        element(f"e{number}", queued_max=chance.randint(0, 12), submit_max=chance.randint(0, 12))
        for number in range(6)
    ]
    places = [
        ElementShape(
            number % 6,
            cores=chance.choice([1, 8]),
            queued=chance.choice([0, 2]),
            room=chance.choice([None, None, 0, 1, 4]),
            in_doubt=chance.random() < 0.3,
        )
        for number in range(18)
    ]
    demands = [Demand(chance.getrandbits(18), chance.randint(1, 30)) for _ in range(12)]

    found = plan(places, elements, demands, PlanBounds(submit_max=chance.choice([3, 200])))

    for at, place in enumerate(places):
        assert found.submit.get(at, 0) <= (999 if place.room is None else place.room)
        assert not (place.in_doubt and at in found.cancel)
    for number, one in enumerate(elements):
        mine = sum(count for at, count in found.submit.items() if places[at].element == number)
        assert mine <= min(one.queued_max, one.submit_max)
    assert bool(found.unmet_jobs) is bool(found.unmet) or any(not one.places for one in demands)


WHY: dict[str, tuple[dict[str, object], PlanBounds, int, PlaceBlocker | None, str]] = {
    "it gets some": ({}, BOUNDS, 0, None, ""),
    "its file": ({"is_enabled": False}, BOUNDS, 0, PlaceBlocker.FILE, "is not enabled in its file"),
    "a drain": ({"is_draining": True}, BOUNDS, 0, PlaceBlocker.OPERATOR, "is draining"),
    "a pause": (
        {"pause_s": 30.0, "trouble": "submit: no such queue"},
        BOUNDS,
        0,
        PlaceBlocker.TROUBLE,
        "has a pause of 30 s more: submit: no such queue",
    ),
    "silence": ({"pilots": None}, BOUNDS, 0, PlaceBlocker.TROUBLE, "it has not answered yet"),
    "no pilots": ({"pilots_max": 0}, BOUNDS, 0, PlaceBlocker.LIMIT, "its pilots_max is 0"),
    "no queue": ({"queued_max": 0}, BOUNDS, 0, PlaceBlocker.LIMIT, "its queued_max is 0"),
    "no submission": ({"submit_max": 0}, BOUNDS, 0, PlaceBlocker.LIMIT, "its submit_max is 0"),
    "none anywhere": (
        {},
        PlanBounds(pilots_max=0),
        0,
        PlaceBlocker.LIMIT,
        "factory.pilots_max is 0",
    ),
    "no submission at all": (
        {},
        PlanBounds(submit_max=0),
        0,
        PlaceBlocker.LIMIT,
        "factory.submit_max is 0",
    ),
    "others have all": (
        {},
        PlanBounds(pilots_max=9),
        9,
        PlaceBlocker.LIMIT,
        "all sites have 9 pilots",
    ),
    "it is full": ({"pilots": 100}, BOUNDS, 100, PlaceBlocker.FULL, "is full: 100 of 100 pilots"),
    "it is full of silent ones": (
        {"pilots": 100, "quiet": 100},
        BOUNDS,
        100,
        PlaceBlocker.FULL,
        "is full: 100 of 100 pilots, all silent: they count until it reports their end",
    ),
    "some are silent": (
        {"pilots": 100, "quiet": 3},
        BOUNDS,
        100,
        PlaceBlocker.FULL,
        "is full: 100 of 100 pilots, 3 of them silent: they count until",
    ),
    "its queue is full": (
        {"queued": 50},
        BOUNDS,
        50,
        PlaceBlocker.FULL,
        "has a full queue: 50 of 50",
    ),
}


@pytest.mark.parametrize("name", WHY)
def test_why_a_place_gets_no_pilot_is_what_is_planned_by(name: str) -> None:
    given, bounds, elsewhere, by, words = WHY[name]
    here = element("pic", **given)
    in_all = elsewhere + (here.pilots or 0)
    others = [element("other", pilots=elsewhere)] if elsewhere else []

    why = why_none(ONE[0], here, bounds, in_all, is_test=True)

    assert (why.by if why else None) is by
    assert words in (why.why if why else "")
    assert bool(plan(ONE, [here, *others], [Demand(1, 1)], bounds).submit) is (by is None)


def test_a_banned_place_and_one_that_is_held_say_so() -> None:
    held = ElementShape(0, cores=1, room=0, held="is suspended: jobs fail there")
    banned = element(is_banned=True)

    assert why_none(ONE[0], banned, BOUNDS, 0, is_test=True) is None
    assert why_none(ONE[0], banned, BOUNDS, 0, is_test=False) == (
        PlaceBlocker.OPERATOR,
        "is banned: only jobs of type Test run there",
    )
    assert why_none(held, element(), BOUNDS, 0, is_test=True) == (PlaceBlocker.HELD, held.held)
