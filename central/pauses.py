"""Long walks through memory: others get their turn now and then."""

from collections.abc import AsyncIterator, Iterable
from typing import Final, TypeVar

from .ports import Clock

A_TURN: Final = 1_000  # of what is looked at in passing: half a millisecond or so
T = TypeVar("T")


async def by_and_by(many: Iterable[T], clock: Clock, *, a_turn: int = A_TURN) -> AsyncIterator[T]:
    """Yield all that are there now, so many in one turn of the loop.

    What is yielded late may have gone meanwhile.
    """
    for number, one in enumerate(list(many), start=1):
        yield one
        if number % a_turn == 0:
            await clock.sleep(0)
