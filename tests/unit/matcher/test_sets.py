"""Steps and ranks: what the index asks with one look must be what a look at all would say."""

from hypothesis import given, settings, strategies as st

from pilotage.matcher.index.thresholds import STEPS_MAX, Thresholds
from pilotage.matcher.queue.owner_ranking import PART_MAX, OwnerRanking

NUMBERS = st.integers(0, 300).map(float)


@given(st.lists(NUMBERS, min_size=1, max_size=200), NUMBERS, st.integers(1, 50))
@settings(max_examples=100, deadline=None)
def test_an_amount_does_for_the_rows_that_demand_no_more(
    demands: list[float], amount: float, every: int
) -> None:
    steps = Thresholds()
    for at, demand in enumerate(demands):
        steps.add(demand)
        if at % every == 0:
            steps.take_up()
    steps.take_up()
    steps.check()
    found = {row for row in range(len(demands)) if steps.doing(amount) >> row & 1}
    exact = {row for row, demand in enumerate(demands) if demand <= amount}

    assert found >= exact
    assert found == exact or not steps.is_exact
    assert steps.is_exact == (len(set(demands)) <= STEPS_MAX)
    assert steps.top == max(demands)


def test_steps_lie_where_the_demands_are_even_if_the_first_ones_lay_elsewhere() -> None:
    steps = Thresholds()
    for demand in range(STEPS_MAX):
        steps.add(demand)
    steps.take_up()
    for at in range(10_000):
        steps.add(1_000 + at * 7_919 % 10_000)
        if not at % 100:
            steps.take_up()
    steps.take_up()
    steps.check()
    too_many = [
        steps.doing(amount).bit_count() - STEPS_MAX - (amount - 999)
        for amount in range(1_000, 11_000, 99)
    ]

    assert max(too_many) < 500


def test_ranks_stay_in_order_as_they_come_and_go() -> None:
    ranked, plain = OwnerRanking(), list[tuple[int, int]]()
    for step in range(6 * PART_MAX):
        entry = (step * 7919 % 10_007, step)
        ranked.add(*entry)
        plain.append(entry)
        if step % 3 == 0:
            gone = plain.pop(step * 31 % len(plain))
            ranked.remove(gone[0])

    assert list(ranked) == sorted(plain)
    assert len(ranked) == len(plain)
    for entry in sorted(plain):
        ranked.remove(entry[0])
    assert not list(ranked)
    ranked.add(1, 1)
    assert list(ranked) == [(1, 1)]


def test_ranks_that_come_in_order_are_as_those_that_come_in_any() -> None:
    ranked, plain = OwnerRanking(), OwnerRanking()
    for rank in range(3 * PART_MAX):
        ranked.append(rank, -rank)
        plain.add(rank, -rank)
    for rank in range(0, 3 * PART_MAX, 2):
        ranked.remove(rank)
        plain.remove(rank)
        ranked.add(rank + 5 * PART_MAX, rank)
        plain.add(rank + 5 * PART_MAX, rank)

    assert list(ranked) == list(plain)
