"""Bytes that no file names any more are removed, one after the other."""

from collections.abc import Awaitable, Callable, Sequence

from pilotage.proto.storages import Removal, Removed

from .storages import StorageTrouble, Unavailable

WHY_MAX = 200  # characters

# Removes one; raises what storages.Storage.sweep does, and TimeoutError.
Remove = Callable[[Removal], Awaitable[None]]


async def run(removals: Sequence[Removal], remove: Remove) -> tuple[Removed, ...]:
    """Remove what is to go; say of each whether it is gone.

    A storage that is away is not asked for the rest: each question may take a minute.
    """
    told: list[Removed] = []
    away = ""
    for one in removals:
        if away:
            told.append(Removed(one.remnant, f"not tried: {away}"[:WHY_MAX]))
            continue
        try:
            await remove(one)
        except TimeoutError:
            away = "it does not answer in time"
        except Unavailable as why:
            away = str(why)
        except (StorageTrouble, OSError) as why:
            told.append(Removed(one.remnant, str(why)[:WHY_MAX] or type(why).__name__))
            continue
        told.append(Removed(one.remnant, away[:WHY_MAX]))
    return tuple(told)
