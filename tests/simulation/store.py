"""A store with a disk below it: operations queue up, are committed, synced, and then answered.

The verbs are the shipped ones, on SQLite in memory. Each write waits for its turn; between its
commit, its sync and its answer the central can die. A power cut undoes what was not synced: until
a sync all operations stand in one transaction, which is then rolled back.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from pilotage.central.jobs import record_submissions as submission_records
from pilotage.central.store.errors import StoreBroken, StoreError, StoreFull
from pilotage.central.store.sqlite.session import SqliteSession
from tests.memory_store import MemoryStore

from .processes import HostLoop, Process

COMMIT_S = 0.003
READ_S = 0.0005

ORDERED = frozenset({"standing", "action", "obey"})  # behind all writes before; they write nothing

Verb = Callable[..., Any]


class Held(SqliteSession):
    """A session that holds what it commits in one transaction, until the disk is synced."""

    tells = False  # who writes does not lead: the leader must hear of its submissions

    def begin(self) -> None:
        if not self.connection.in_transaction:
            super().begin()
        self.connection.execute("SAVEPOINT operation")

    def commit(self) -> None:
        self.connection.execute("RELEASE operation")

    def roll_back(self) -> None:
        self.connection.execute("ROLLBACK TO operation")
        self.connection.execute("RELEASE operation")

    def sync(self) -> None:
        if self.connection.in_transaction:
            super().commit()

    def lose(self) -> None:
        """Undo what was not synced."""
        super().roll_back()


class Rows(MemoryStore):
    """What lies on a disk, as committed."""

    session: Held

    def __init__(
        self,
        *,
        clock_wall: Callable[[], float] = lambda: 0.0,
        data: bytes = b"",
        session: type[Held] = Held,
    ) -> None:
        super().__init__(clock_wall=clock_wall, data=data, session=session)


@dataclass
class Disk:
    """What lies below the stores of one central, one after another."""

    loop: HostLoop
    rows: Rows
    unsynced: int = 0  # writes that a power cut undoes
    full: bool = False
    stalled_until: float = 0.0
    slow_s: dict[str, float] = field(default_factory=dict[str, float])  # one way, by host
    fails: Callable[[str], BaseException | None] = lambda verb: None
    committed: Callable[[str, tuple[Any, ...], Any], None] = lambda verb, args, result: None
    queued: Callable[[str, tuple[Any, ...]], None] = lambda verb, args: None
    point: Callable[[Process, str], None] = lambda process, name: None
    broken: Callable[[Process], None] = lambda process: process.kill()
    answers_early: bool = False  # a planted bug: before the sync

    @property
    def moment(self) -> str:
        """Which submission of others came last; empty where one process alone takes jobs in."""
        session = self.rows.session
        return session.one("moment")[0] if session.is_shared else ""

    def sync(self) -> None:
        """What is committed survives from now on."""
        self.rows.session.sync()
        self.unsynced = 0

    def lose_unsynced(self) -> int:
        """The power has gone: return how many writes are undone."""
        lost, self.unsynced = self.unsynced, 0
        if lost:
            self.rows.session.lose()
            self.rows = self.rows.reopened()  # it knows nothing of what is gone
        return lost

    def write(self, verb: Verb, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Carry a verb out that writes, and commit it. Raises what the store raises."""
        result = step(self.rows.write(verb, *args, **named))
        self.unsynced += 1
        self.committed(verb.__name__, args, result)
        return result

    def read(self, verb: Verb, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Carry a verb out that changes nothing. Raises what the store raises."""
        rows = self.rows
        session, connection = rows.session, rows.connection
        before = connection.total_changes
        try:
            result = verb(session, *args, **named)
        except sqlite3.Error as why:
            raise session.translated(why) from why
        assert connection.total_changes == before, f"{verb.__name__} writes"
        return result


class DiskStore:
    """The store of one life of the central. Made with `opened`."""

    def __init__(self, disk: Disk, process: Process) -> None:
        self._disk, self._process = disk, process
        self._free_at = 0.0
        self.busy = 0  # calls that wait for their answer
        self.is_broken = False
        self.seen = ""  # the moment up to which memory has what others have taken in

    @property
    def generation(self) -> str:
        return self._disk.rows.generation

    async def close(self) -> None:
        """Nothing is queued: whoever calls has waited."""

    async def write(self, verb: Verb, *args: Any, **named: Any) -> Any:
        """Queue a write; return its result once it is synced."""
        if verb.__name__ in ORDERED:
            return await self._ordered(verb, args, named)
        disk, point = self._disk, self._disk.point
        self.busy += 1
        try:
            disk.queued(verb.__name__, args)
            point(self._process, "before a commit")
            await self._turn()
            if self.is_broken:
                raise StoreBroken("the disk has failed before")
            if disk.full:
                raise StoreFull("the disk of the simulation is full")
            failure = disk.fails(verb.__name__)
            if isinstance(failure, StoreFull):
                raise failure
            result = disk.write(verb, args, named)
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

    async def _ordered(self, verb: Verb, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        self.busy += 1
        try:
            await self._turn()
            return self._disk.read(verb, args, named)
        finally:
            self.busy -= 1

    async def read(self, verb: Verb, *args: Any, **named: Any) -> Any:
        self.busy += 1
        try:
            await asyncio.sleep(READ_S)
            return self._disk.read(verb, args, named)
        finally:
            self.busy -= 1


def opened(disk: Disk, process: Process) -> Any:
    """Return the store as the next process finds it: unfinished submissions are gone."""
    for (submission_id,) in disk.rows.session.rows("arriving_submissions"):
        step(submission_records.drop_submission(disk.rows, submission_id))
    disk.sync()
    return DiskStore(disk, process)


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
