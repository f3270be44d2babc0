"""Communities have their shares of a site's pilots: small cases, and promises over random ones."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from pilotage.central.factory.planning.communities import parts, shares, strangers
from pilotage.central.factory.planning.plans import (
    Demand,
    ElementShape,
    ElementState,
    FactoryPlan,
    PlanBounds,
    plan,
)
from pilotage.central.factory.planning.sharing import level

A, B, C = "ctao", "lst", "magic"
BOUNDS = PlanBounds(submit_max=100_000)


def element(name: str = "pic", **given: object) -> ElementState:
    usual = {
        "pilots_max": 100,
        "queued_max": 100,
        "submit_max": 100,
        "cancel_max": 50,
        "shares": {A: 1.0, B: 1.0, C: 1.0},
    }
    return ElementState(name, **{**usual, **given})  # type: ignore[arg-type]


def places(elements: int, *communities: str) -> list[ElementShape]:
    return [ElementShape(at, 1, community=one) for at in range(elements) for one in communities]


def bits(of: list[ElementShape], community: str) -> int:
    return sum(1 << at for at, one in enumerate(of) if one.community == community)


def got(of: list[ElementShape], found: FactoryPlan) -> Counter[str]:
    counted = Counter[str]()
    for at, pilots in found.submit.items():
        counted[of[at].community] += pilots
    return counted


ONE = places(1, A, B, C)
# demands of A, B, C; what each has there; shares; room; what each gets
CASES = {
    "all alike": ((90, 90, 90), (0, 0, 0), (1, 1, 1), 60, (20, 20, 20)),
    "by their shares": ((90, 90, 90), (0, 0, 0), (3, 2, 1), 60, (30, 20, 10)),
    "what one does not ask for goes to the others by theirs": (
        *((90, 90, 6), (0, 0, 0), (2, 1, 3), 60),
        (36, 18, 6),
    ),
    "one alone has all": ((90, 0, 0), (0, 0, 0), (1, 9, 9), 60, (60, 0, 0)),
    "who has much already waits": ((90, 90, 0), (40, 0, 0), (1, 1, 1), 40, (0, 40, 0)),
    "who has a little less gets a little more": (
        *((90, 90, 0), (20, 10, 0), (1, 1, 1), 30),
        (10, 20, 0),
    ),
    "a share of nothing takes what is left": ((90, 20, 0), (0, 0, 0), (0, 1, 1), 30, (10, 20, 0)),
    "all of nothing are alike": ((90, 90, 0), (0, 0, 0), (0, 0, 0), 30, (15, 15, 0)),
}


@pytest.mark.parametrize("name", CASES)
def test_room_is_divided(name: str) -> None:
    wanted, has, weights, room, wants = CASES[name]
    state = element(
        pilots=sum(has),
        pilots_of=dict(zip((A, B, C), has, strict=True)),
        shares=dict(zip((A, B, C), map(float, weights), strict=True)),
        submit_max=room,
    )
    demands = [Demand(1 << at, jobs) for at, jobs in enumerate(wanted) if jobs]
    found = got(ONE, plan(ONE, [state], demands, BOUNDS))

    assert (found[A], found[B], found[C]) == wants


def test_where_each_element_has_room_for_one_nobody_is_left_out() -> None:
    of = places(60, A, B)
    states = [element(f"e{at}", submit_max=1) for at in range(60)]
    both = [Demand(bits(of, one), 100) for one in (A, B)]
    found = got(of, plan(of, states, both, BOUNDS))
    later = [
        replace(one, pilots=1, pilots_of={A: 1}, pilots_max=1 + (at == 7))
        for at, one in enumerate(states)
    ]

    assert found == {A: 30, B: 30}
    assert got(of, plan(of, later, both, BOUNDS)) == {B: 1}, "the one that becomes free"


def test_few_pilots_in_all_are_divided_too() -> None:
    of = places(20, A, B)
    states = [element(f"e{at}", shares={A: 3.0, B: 1.0}) for at in range(20)]
    both = [Demand(bits(of, one), 1_000) for one in (A, B)]

    assert got(of, plan(of, states, both, PlanBounds(submit_max=80))) == {A: 60, B: 20}


def test_pilots_in_a_full_queue_give_way_to_who_has_less_than_its_share() -> None:
    of = [ElementShape(0, 1, community=A, queued=30), ElementShape(0, 1, community=B)]
    full = element(pilots=40, queued=30, pilots_of={A: 40}, queued_max=30, cancel_max=12)
    waits = [Demand(1, 500), Demand(2, 500)]

    assert plan(of, [full], waits, BOUNDS) == FactoryPlan({}, {0: 12}, 970)
    assert plan(of, [full], [Demand(1, 500), Demand(2, 3)], BOUNDS).cancel == {0: 3}
    assert not plan(of, [full], waits[:1], BOUNDS).cancel, "nobody else wants them"
    for more in ({"leaving": 20}, {"pause_s": 9.0}, {"is_draining": True}, {"pilots_of": {B: 40}}):
        kept = replace(full, **more)
        assert not plan(of, [kept], waits, BOUNDS).cancel, more


def test_jobs_that_another_element_takes_displace_nobody() -> None:
    of = [
        ElementShape(0, 1, community=A, queued=30),
        ElementShape(0, 1, community=B),
        ElementShape(1, 1, community=B),
    ]
    full = element(pilots=30, queued=30, pilots_of={A: 30}, queued_max=30)
    found = plan(of, [full, element("cscs")], [Demand(1, 50), Demand(0b110, 40)], BOUNDS)

    assert (found.submit, found.cancel) == ({2: 40}, {})


@pytest.mark.parametrize("seed", range(40))
def test_limits_hold_in_sum_and_shares_where_all_want(seed: int) -> None:
    chance = random.Random(seed)
    names = [A, B, C][: chance.choice([2, 3])]
    of = places(chance.randint(1, 12), *names)
    states = [
        element(
            f"e{at}",
            pilots=(has := chance.choice([0, 0, 7])),
            pilots_of={names[0]: has},
            pledge=chance.choice([0.0, 1.0, 3.0]),
            pilots_max=chance.randint(0, 200),
            submit_max=chance.randint(0, 200),
            queued_max=chance.randint(0, 200),
            shares={one: float(chance.randint(1, 4)) for one in names},
        )
        for at in range(of[-1].element + 1)
    ]
    eager = seed % 2 == 0
    demands = [Demand(bits(of, one), 3_000 if eager else chance.randint(0, 90)) for one in names]
    found = plan(of, states, demands, PlanBounds(submit_max=1_500))

    given: Counter[tuple[int, str]] = Counter()
    for at, pilots in found.submit.items():
        given[of[at].element, of[at].community] += pilots
    for at, state in enumerate(states):
        room = min(state.pilots_max - (state.pilots or 0), state.submit_max, state.queued_max)
        mine = sum(given[at, one] for one in names)
        assert mine <= max(0, room)
        if eager and sum(found.submit.values()) < 1_500:
            assert mine == max(0, room), "nothing is left over"
            ends = {one: given[at, one] + state.pilots_of.get(one, 0) for one in names}
            most = level(state.shares, state.pilots_of, max(0, room))
            for one in names:
                wanted = max(most[one], state.pilots_of.get(one, 0))
                assert abs(ends[one] - wanted) <= max(len(names) - 1, 0.05 * wanted), (
                    one,
                    ends,
                    most,
                )
    jobs = sum(one.jobs for one in demands)
    assert found.unmet_jobs == jobs - sum(found.submit.values())


@pytest.mark.parametrize("seed", range(10))
def test_nobody_starves_while_places_become_free_one_by_one(seed: int) -> None:
    chance = random.Random(seed)
    of = places(8, A, B)
    has = [Counter({A: 5}) for _ in range(8)]
    both = [Demand(bits(of, one), 10_000) for one in (A, B)]
    for _ in range(200):
        at = chance.randrange(8)
        gone = chance.choice(sorted(has[at].elements()))
        has[at][gone] -= 1
        states = [
            element(f"e{e}", pilots=one.total(), pilots_of=dict(one), pilots_max=5)
            for e, one in enumerate(has)
        ]
        for place, pilots in plan(of, states, both, BOUNDS).submit.items():
            has[of[place].element][of[place].community] += pilots

    assert all(one.total() == 5 for one in has)
    assert 16 <= sum(one[B] for one in has) <= 24


def test_a_site_that_says_nothing_serves_all_alike_and_strangers_are_named() -> None:
    known = (A, B)

    assert shares({}, known) == {A: 1.0, B: 1.0}
    assert shares({B: 2.0, C: 5.0}, known) == {B: 2.0}
    assert parts({A: 3.0, B: 1.0}, known) == {A: 0.75, B: 0.25}
    assert strangers({A: 1.0, "lts": 1.0}, known) == [
        "communities.lts: this central serves ctao, lst; did you mean 'lst'?; "
        "see community.name and community.others"
    ]
