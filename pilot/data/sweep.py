"""Removal of files that the catalogue does not need any more, one after the other."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from pilotage.proto.storages import Removal, Removed

from .storages import StorageUnavailable

WHY_MAX: Final = 200  # characters
# After this many removals in a row without an answer, the storage counts as unavailable.
AWAY: Final = 3

# Removes one; raises the errors of storages.Storage.sweep, and TimeoutError.
Remove = Callable[[Removal], Awaitable[None]]


async def run(
    removals: Sequence[Removal], remove: Remove, *, is_late: Callable[[], bool]
) -> tuple[Removed, ...]:
    """Remove the given remnants; return for each whether it was removed, failed or was not tried.

    An unavailable storage is not asked for the rest, because each request may take minutes. When
    the time is over, no further removal begins; the first one always does.
    """
    results: list[Removed] = []
    away, why = 0, ""
    for one in removals:
        if away == AWAY or (results and is_late()):
            said = why if away == AWAY else "no time was left for it"
            results.append(Removed(one.remnant, f"not tried: {said}"[:WHY_MAX], tried=False))
            continue
        why, is_away = await _removed(one, remove)
        away = away + 1 if is_away else 0
        results.append(Removed(one.remnant, why[:WHY_MAX]))
    return tuple(results)


async def _removed(one: Removal, remove: Remove) -> tuple[str, bool]:
    """Remove one remnant; return why it failed, and whether the storage may be unavailable."""
    try:
        await remove(one)
    except TimeoutError:
        return "it did not answer in time", True
    except StorageUnavailable as why:
        return str(why) or type(why).__name__, True  # never empty, which would mean removed
    except (ValueError, OSError, RuntimeError) as why:  # also StorageError and RecursionError
        return str(why) or type(why).__name__, False
    return "", False
