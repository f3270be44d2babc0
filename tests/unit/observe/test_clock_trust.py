"""A wall clock that jumps is not believed for a day: a story."""

from pilotage.central.observe.clock_trust import DOUBT_S, JUMP_S, ClockTrust


def test_drift_and_corrections_are_no_jump() -> None:
    clocks = ClockTrust(wall=1e9, monotonic=0.0)
    wall = 1e9
    for hour in range(1, 200):
        wall += 3_600 + 60  # a minute an hour: no clock drifts like that
        assert clocks.look(wall, hour * 3_600.0) == 0.0

    assert clocks.trusted(200 * 3_600.0)


def test_after_a_jump_nothing_is_believed_for_a_day_and_the_way_back_is_a_jump_too() -> None:
    clocks = ClockTrust(wall=1e9, monotonic=0.0)
    assert clocks.trusted(0.0)

    assert clocks.look(1e9 + 10 + 86_400, 10.0) == 86_400
    assert not clocks.trusted(10.0)
    assert clocks.look(1e9 + 3_600, 3_600.0) == -86_400  # set right an hour later
    assert not clocks.trusted(3_600 + DOUBT_S - 1)
    assert clocks.trusted(3_600 + DOUBT_S)


def test_an_hour_is_the_bound() -> None:
    clocks = ClockTrust(wall=0.0, monotonic=0.0)

    assert clocks.look(JUMP_S - 1, 0.0) == 0.0
    assert clocks.look(2 * JUMP_S, 0.0) == JUMP_S + 1


def test_a_life_that_begins_far_from_what_the_store_last_saw_is_not_believed_for_a_day() -> None:
    near, ahead, behind = (ClockTrust(wall=1e9, monotonic=5.0) for _ in range(3))

    assert near.begin_from(1e9 - JUMP_S + 1, 1e9, 5.0) == 0.0
    assert near.trusted(5.0)
    assert ahead.begin_from(1e9 - 400 * 86_400, 1e9, 5.0) == 400 * 86_400
    assert behind.begin_from(1e9 + 2 * JUMP_S, 1e9, 5.0) == -2 * JUMP_S
    assert not ahead.trusted(5 + DOUBT_S - 1) and ahead.trusted(5 + DOUBT_S)
    assert not behind.trusted(6.0)
