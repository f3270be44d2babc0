"""When an owner is free again that something has kept from its turn, nobody has to pay for it."""

import random

import pytest

from .freed import HELD, KEPT_BY, Case, Freed, Party
from .load import DAY_S, HOUR_S

LEAST = 0.5  # of its share that each owner gets in each hour


@pytest.mark.parametrize("kept_by", KEPT_BY)
def test_whoever_is_free_after_two_days_leaves_each_owner_half_of_its_share_in_each_hour(
    kept_by: str,
) -> None:
    case = Case(parties=HELD, groups={"a": 1, "b": 2, "c": 5}, kept_by=kept_by, kept_s=2 * DAY_S)

    assert min(Freed(case).run().least().values()) >= LEAST


def test_a_restart_does_not_bring_back_what_was_not_saved_up() -> None:
    parties = (Party("a", "ada"), Party("a", "bob"), Party("b", "eve"))
    case = Case(parties=parties, groups={"a": 1, "b": 1}, kept_s=DAY_S, restarts=True)

    assert min(Freed(case).run().least().values()) >= LEAST


def test_without_the_bound_the_others_get_nothing_for_hours() -> None:
    parties = (Party("a", "ada"), Party("b", "bob"))
    case = Case(
        parties=parties, groups={"a": 1, "b": 1}, kept_s=DAY_S, ahead=10.0, after_s=4 * HOUR_S
    )

    assert Freed(case).run().least()["bob"] == 0.0


def test_one_that_is_limited_changes_nothing_between_the_others() -> None:
    case = Case(parties=HELD, groups={"a": 1, "b": 2, "c": 5}, kept_s=2 * DAY_S, after_s=0.0)
    play = Freed(case).run()

    bob, eve = play.matched["bob"], play.matched["eve"]
    assert eve / bob == pytest.approx(5 / 2, rel=0.01)


def drawn(seed: int) -> Case:
    """Return a case with owners of any shares whose jobs take from minutes to hours."""
    chance = random.Random(seed)
    names = "abc"[: chance.randint(1, 3)]
    parties = tuple(
        Party(
            names[number] if number < len(names) else chance.choice(names),
            f"owner{number}",
            share=chance.choice([1.0, 1.0, 2.0, 3.0]),
            wall_s=chance.choice([600.0, 1_800.0, HOUR_S, 4 * HOUR_S, 8 * HOUR_S]),
            used=chance.choice([1.0, 1.0, 0.6, 0.2]),
        )
        for number in range(chance.randint(max(2, len(names)), 6))
    )
    return Case(
        parties=parties,
        groups={name: chance.choice([1.0, 1.0, 2.0, 3.0, 5.0]) for name in names},
        kept_by=chance.choice(KEPT_BY),
        kept_s=DAY_S,
        restarts=chance.random() < 0.3,
        half_life_s=chance.choice([604_800.0, 7_200.0, 86_400.0]),
        seed=seed,
    )


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100))
def test_no_owner_who_is_due_a_pilot_gets_less_than_half_of_its_share_in_an_hour(seed: int) -> None:
    """Who is due fewer cores than a pilot has gets them in jobs that cannot be halved."""
    case = drawn(seed)
    least, due = Freed(case).run().least(), case.due()

    assert all(least[owner] >= LEAST for owner in due if due[owner] * case.cores >= 8), least
