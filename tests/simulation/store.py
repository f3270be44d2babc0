"""A store with a disk below it: operations queue up, are committed, synced, and then answered.

The verbs are those of the honest store in memory. Each write waits for its turn; between its
commit, its sync and its answer the central can die. A power cut undoes what was not synced: the
operations that were are carried out anew.
"""

# pyright: reportPrivateUsage=false

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from pilotage.central.store.errors import StoreBroken, StoreError, StoreFull
from pilotage.central.store.protocol import Store
from tests.fake_store import FakeStore

from .processes import HostLoop, Process

COMMIT_S = 0.003
READ_S = 0.0005

ORDERED = frozenset({"standing", "action"})  # reads behind all writes before
OWN = frozenset({"close"})


@dataclass
class Disk:
    """What lies below the stores of one central, one after another."""

    loop: HostLoop
    rows: FakeStore  # as committed
    done: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = field(
        default_factory=list[tuple[str, tuple[Any, ...], dict[str, Any]]]
    )
    synced: int = 0  # so many of `done` survive a power cut
    full: bool = False
    stalled_until: float = 0.0
    fails: Callable[[str], BaseException | None] = lambda verb: None
    committed: Callable[[str, tuple[Any, ...], Any], None] = lambda verb, args, result: None
    queued: Callable[[str, tuple[Any, ...]], None] = lambda verb, args: None
    point: Callable[[Process, str], None] = lambda process, name: None
    broken: Callable[[Process], None] = lambda process: process.kill()
    answers_early: bool = False  # a planted bug: before the sync

    def sync(self) -> None:
        """What is committed survives from now on."""
        self.synced = len(self.done)

    def lose_unsynced(self) -> int:
        """The power has gone: return how many operations are undone."""
        lost = len(self.done) - self.synced
        if lost:
            del self.done[self.synced :]
            again = FakeStore(clock_wall=self.rows._clock_wall)
            for verb, args, named in self.done:
                step(getattr(again, verb)(*args, **named))
            self.rows = again
        return lost


class DiskStore:
    """The store of one life of the central. Made with `opened`, which gives it the verbs."""

    def __init__(self, disk: Disk, process: Process) -> None:
        self._disk, self._process = disk, process
        self._free_at = 0.0
        self.busy = 0  # calls that wait for their answer
        self.is_broken = False

    @property
    def generation(self) -> str:
        return self._disk.rows.generation

    async def close(self) -> None:
        """Nothing is queued: whoever calls has waited."""

    async def listed(self) -> None:
        """Wait for the next part of a list."""
        await asyncio.sleep(READ_S)

    async def write(self, verb: str, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Queue a write; return its result once it is synced."""
        disk, point = self._disk, self._disk.point
        self.busy += 1
        try:
            disk.queued(verb, args)
            point(self._process, "before a commit")
            await self._turn()
            if self.is_broken:
                raise StoreBroken("the disk has failed before")
            if disk.full:
                raise StoreFull("the disk of the simulation is full")
            failure = disk.fails(verb)
            if isinstance(failure, StoreFull):
                raise failure
            result = step(getattr(disk.rows, verb)(*args, **named))
            disk.done.append((verb, args, named))
            disk.committed(verb, args, result)
            if disk.answers_early:
                disk.loop.at(disk.loop.now + 1.0, self._process, disk.sync)
                return result
            point(self._process, "between commit and sync")
            disk.sync()
            if failure is not None:  # the answer of the disk is lost: the process must end
                self.is_broken = True
                disk.broken(self._process)
                raise failure
            point(self._process, "after a commit")
            await asyncio.sleep(0.0)
            return result
        finally:
            self.busy -= 1

    async def _turn(self) -> None:
        """Wait for the writer: one after another, in the order of the calls."""
        loop = self._disk.loop
        at = max(loop.now, self._free_at, self._disk.stalled_until) + COMMIT_S
        self._free_at = at
        woken = loop.create_future()
        loop.at(at, self._process, _wake, woken)
        await woken

    async def ordered(self, verb: str, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        self.busy += 1
        try:
            await self._turn()
            return step(getattr(self._disk.rows, verb)(*args, **named))
        finally:
            self.busy -= 1

    async def read(self, verb: str, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        self.busy += 1
        try:
            await asyncio.sleep(READ_S)
            return step(getattr(self._disk.rows, verb)(*args, **named))
        finally:
            self.busy -= 1


def opened(disk: Disk, process: Process) -> Any:
    """Return the store as the next process finds it: unfinished submissions are gone."""
    for record in list(disk.rows._data.submissions.values()):
        if not record.complete:
            step(disk.rows.drop_submission(record.submission_id))
            disk.done.append(("drop_submission", (record.submission_id,), {}))
    disk.sync()
    return DiskStore(disk, process)


def _verb(name: str, how: str) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def verb(self: DiskStore, *args: Any, **named: Any) -> Any:
        return await getattr(self, how)(name, args, named)

    return verb


def _how(name: str) -> str:
    """Return what a verb does, as the store in memory shows it."""
    if name in ORDERED:
        return "ordered"
    return "write" if "begin_write" in inspect.getsource(getattr(FakeStore, name)) else "read"


def _list_verb(name: str) -> Callable[..., AsyncIterator[Any]]:
    async def verb(self: DiskStore, *args: Any) -> AsyncIterator[Any]:
        async for part in getattr(self._disk.rows, name)(*args):
            await self.listed()
            yield part

    return verb


for _name, _ in inspect.getmembers(Store, inspect.isfunction):
    if inspect.isasyncgenfunction(getattr(FakeStore, _name, None)):
        setattr(DiskStore, _name, _list_verb(_name))
    elif _name[0] != "_" and _name not in OWN:
        setattr(DiskStore, _name, _verb(_name, _how(_name)))


def step(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a verb of the store in memory, which never waits, and return its result."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise StoreError("the store in memory has waited")


def _wake(woken: "asyncio.Future[None]") -> None:
    if not woken.done():
        woken.set_result(None)
