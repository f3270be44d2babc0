"""How many notifications go into the next message to a person."""

from pilotage.central.notifications.rate_limit import HOUR_S, TOGETHER_MAX, next_message

NOW = 100_000.0


def test_messages_have_one_notification_while_the_limit_is_far() -> None:
    assert next_message(7, [], NOW, an_hour=3) == (1, 0.0)
    assert next_message(7, [NOW - HOUR_S, NOW - 5.0], NOW, an_hour=3) == (1, 0.0)


def test_the_last_message_of_the_hour_has_all_that_wait() -> None:
    assert next_message(7, [NOW - 9.0, NOW - 5.0], NOW, an_hour=3) == (7, 0.0)
    assert next_message(7, [], NOW, an_hour=1) == (7, 0.0)
    assert next_message(9_999, [], NOW, an_hour=1) == (TOGETHER_MAX, 0.0)


def test_the_next_one_waits_until_an_hour_after_the_first_one_counted() -> None:
    sent = [NOW - 30.0, NOW - 20.0, NOW - 10.0]

    assert next_message(1, sent, NOW, an_hour=3) == (0, NOW - 30.0 + HOUR_S)
    assert next_message(1, sent, NOW, an_hour=2) == (0, NOW - 20.0 + HOUR_S)


def test_no_hour_ever_has_more_messages_than_the_limit() -> None:
    """Something happens every 10 s for five hours, and a round follows each time."""
    now, waiting, sent, told = NOW, 0, list[float](), 0
    for _ in range(1_800):
        now, waiting = now + 10.0, waiting + 1
        size, _ = next_message(waiting, sent, now, an_hour=20)
        if size:
            sent.append(now)
            told, waiting = told + size, waiting - size

    assert max(sum(at <= one < at + HOUR_S for one in sent) for at in sent) == 20
    assert told + waiting == 1_800 and waiting < 400
