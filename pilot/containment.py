"""Where the work for one attempt may fail in any way, and nothing but that attempt fails."""

import traceback
from collections.abc import Awaitable
from typing import TypeVar

from .events import Log

T = TypeVar("T")


class WorkFailed(Exception):
    """The work has failed in a way that nobody foresaw: end its attempt, and only that."""

    def __init__(self, why: Exception) -> None:
        super().__init__(f"{type(why).__name__}: {why}")


async def contained(
    work: Awaitable[T],
    log: Log,
    attempt_id: int,
    name: str,
    *,
    known: tuple[type[Exception], ...] = (),
) -> T:
    """Return what `work` returns. Raises `known` as they come, and WorkFailed for all else.

    Archives, file names and patterns come from strangers. Whatever one of them breaks that we did
    not think of would end the pilot, and with it the payloads of others. Cancellation goes through.
    """
    try:
        return await work
    except known:
        raise
    except Exception as why:
        told = traceback.format_exc(limit=-10)
        facts = {"attempt_id": attempt_id, "work": name, "why": str(why), "traceback": told}
        log("work_failed", facts)
        raise WorkFailed(why) from why
