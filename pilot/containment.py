"""A barrier around the work for one attempt, so that its failures end only that attempt."""

import traceback
from collections.abc import Awaitable
from typing import TypeVar

from .events import WriteEvent

T = TypeVar("T")


class WorkFailed(Exception):
    """The work failed unexpectedly: end its attempt, and only that attempt."""

    def __init__(self, why: Exception) -> None:
        super().__init__(f"{type(why).__name__}: {why}")


async def contained(
    work: Awaitable[T],
    log: WriteEvent,
    attempt_id: int,
    name: str,
    *,
    known: tuple[type[Exception], ...] = (),
) -> T:
    """Return the result of `work`. Raises `known` errors unchanged, and WorkFailed for all others.

    Archives, file names and patterns come from users. An unexpected error in one of them would
    otherwise end the pilot, and with it the payloads of other users. Cancellation passes through.
    """
    try:
        return await work
    except known:
        raise
    except Exception as why:
        trace = traceback.format_exc(limit=-10)
        facts = {"attempt_id": attempt_id, "work": name, "why": str(why), "traceback": trace}
        log("work_failed", facts)
        raise WorkFailed(why) from why
