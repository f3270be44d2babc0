"""Bytes that no file names any more are removed, one after the other."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from pilotage.proto.storages import Removal, Removed

from .storages import StorageUnavailable

WHY_MAX: Final = 200  # characters
AWAY: Final = 3  # removals in a row that the storage did not answer: it is away

# Removes one; raises what storages.Storage.sweep does, and TimeoutError.
Remove = Callable[[Removal], Awaitable[None]]


async def run(
    removals: Sequence[Removal], remove: Remove, *, is_late: Callable[[], bool]
) -> tuple[Removed, ...]:
    """Remove what is to go; say of each whether it is gone, or has not been tried.

    A storage that is away is not asked for the rest: each question may take minutes. Nothing more
    is begun where it is late; the first always is.
    """
    told: list[Removed] = []
    away, why = 0, ""
    for one in removals:
        if away == AWAY or (told and is_late()):
            said = why if away == AWAY else "there was no time left for it"
            told.append(Removed(one.remnant, f"not tried: {said}"[:WHY_MAX], tried=False))
            continue
        why, is_away = await _removed(one, remove)
        away = away + 1 if is_away else 0
        told.append(Removed(one.remnant, why[:WHY_MAX]))
    return tuple(told)


async def _removed(one: Removal, remove: Remove) -> tuple[str, bool]:
    """Remove one; return why it is not gone, and whether the storage may be away."""
    try:
        await remove(one)
    except TimeoutError:
        return "it does not answer in time", True
    except StorageUnavailable as why:
        return str(why) or type(why).__name__, True  # without a word it would be gone
    except (ValueError, OSError, RuntimeError) as why:  # StorageTrouble, RecursionError too
        return str(why) or type(why).__name__, False
    return "", False
