"""Decides how many of a person's notifications go into the next message. Pure."""

from collections.abc import Sequence
from typing import Final, NamedTuple

HOUR_S: Final = 3_600.0
TOGETHER_MAX: Final = 500  # notifications in one message


class NextMessage(NamedTuple):
    """The next message: the number of notifications in it, or 0 and when to look again."""

    size: int
    wait_until: float = 0.0


def next_message(
    pending: int, sent_at: Sequence[float], now: float, *, an_hour: int
) -> NextMessage:
    """Return what the next message has. `sent_at` are the times of the last ones.

    In an hour a person gets at most `an_hour` messages. The last one that the limit allows takes
    all notifications that wait.
    """
    recent = sorted(at for at in sent_at if at > now - HOUR_S)
    left = an_hour - len(recent)
    if left <= 0:
        return NextMessage(0, recent[-an_hour] + HOUR_S)
    return NextMessage(min(pending, TOGETHER_MAX if left == 1 else 1))
