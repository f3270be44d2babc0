"""How many logins mosquitto is asked for at once."""

import pytest

from pilotage.central.bus.mosquitto import ANSWER_S, BATCH_MAX, BATCH_MIN, batch_of


@pytest.mark.parametrize(
    ("logins", "took_s", "then"),
    [
        (200, 0.0, BATCH_MAX),  # they were there already
        (200, 0.5, BATCH_MAX),
        (200, 4.0, 50),
        (50, 1.0, 50),
        (20, 0.2, 100),  # it has become quicker: some were removed
        (1, 0.05, 20),
        (200, ANSWER_S, 20),
        (10, 5.0, BATCH_MIN),
    ],
)
def test_so_many_logins_are_asked_for_as_mosquitto_makes_in_a_second(
    logins: int, took_s: float, then: int
) -> None:
    assert batch_of(logins, took_s) == then
