"""Pauses in long walks through memory, so that other tasks get their turn."""

from collections.abc import AsyncIterator, Iterable
from typing import Final, TypeVar

from .ports import Clock

A_TURN: Final = 1_000  # items looked at in one turn: about half a millisecond
T = TypeVar("T")


async def by_and_by(many: Iterable[T], clock: Clock, *, a_turn: int = A_TURN) -> AsyncIterator[T]:
    """Yield the items of `many` as they are now, and pause after each `a_turn` items.

    An item may have been removed by the time it is yielded.
    """
    for number, one in enumerate(list(many), start=1):
        yield one
        if number % a_turn == 0:
            await clock.sleep(0)
