"""Parts of a campaign in several processes: one that ends or hangs is told, and its world named."""

import faulthandler
import multiprocessing
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from ctypes import c_bool, c_int64
from typing import Any, Final, TypeVar

A = TypeVar("A")
T = TypeVar("T")

WORLD_S: Final = 180.0  # a world takes a second or two, on a busy machine some times as long
_NONE: Final = -1


class WorldLost(Exception):
    """A process has ended while it ran a world, or a world has taken far too long."""


class _Shared:
    """What the processes see of each other."""

    worlds: Any = None  # that run now, by the number of the part
    over: Any = None  # nobody wants to know any more
    part = _NONE  # that this process runs
    world_s = WORLD_S


def is_over() -> bool:
    """Return whether the rest of this part is not wanted any more."""
    return _Shared.part != _NONE and bool(_Shared.over.value)


def begins(world: int) -> None:
    """Say which world this process runs from now on. It ends the process if it takes too long."""
    if _Shared.part != _NONE:
        _Shared.worlds[_Shared.part] = world
        faulthandler.dump_traceback_later(_Shared.world_s, exit=True)


def in_processes(
    run: Callable[[A], T], parts: Sequence[A], processes: int, *, world_s: float = WORLD_S
) -> Generator[T]:
    """Yield what `run` returns for each part, in order. Raises WorldLost.

    No more parts are begun than processes can work on, so that closing this ends soon.
    """
    context = multiprocessing.get_context("fork")
    worlds, over = context.RawArray(c_int64, [_NONE] * len(parts)), context.RawValue(c_bool, False)
    pool = ProcessPoolExecutor(
        processes, mp_context=context, initializer=_joins, initargs=(worlds, over, world_s)
    )
    running: deque[Future[T]] = deque()
    try:
        for number, part in enumerate(parts):
            if len(running) > processes:
                yield running.popleft().result()
            running.append(pool.submit(_part, run, number, part))
        while running:
            yield running.popleft().result()
    except BrokenProcessPool as why:
        lost = ", ".join(str(world) for world in worlds if world != _NONE)
        raise WorldLost(
            f"a process ended, or a world took more than {world_s:.0f} s: one of world {lost}"
        ) from why
    finally:
        over.value = True
        pool.shutdown(cancel_futures=True)


def _joins(worlds: Any, over: Any, world_s: float) -> None:
    _Shared.worlds, _Shared.over, _Shared.world_s = worlds, over, world_s


def _part(run: Callable[[A], T], number: int, part: A) -> T:
    _Shared.part = number
    try:
        return run(part)
    finally:
        faulthandler.cancel_dump_traceback_later()
        _Shared.worlds[number] = _NONE
        _Shared.part = _NONE
