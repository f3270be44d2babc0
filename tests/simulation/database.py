"""A database server on a host of its own, to which several centrals are connected.

The verbs are the shipped ones. What differs from `store.py` is the way: what is
sent arrives, as TCP does, but as late as the network is cut, also when the sender is dead by then
or stands still. So a transaction lasts for a time, in which another may take the lead.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from pilotage.central.dispatch.record_arrivals import arrivals
from pilotage.central.store.errors import NotLeader, StoreBroken, StoreFull
from pilotage.central.store.leaders import SHARD, Lead
from pilotage.central.store.postgresql.driver import IDLE_LEADING_MS, IDLE_MS
from tests.fake_leaders import FakeLeaders
from tests.fakes import WALL_S

from .arrivals import SharedHeld
from .network import Network
from .processes import Host, HostLoop, Process, Step
from .store import ORDERED, Disk, DiskStore, Rows, Verb, opened, step

T = TypeVar("T")

NOBODY = Lead(SHARD, 0, "", "")  # before anybody has led
WAY_S = 0.0004  # one way
WORKS_S = 0.002  # a commit and its sync
RETRANSMIT_S, RETRANSMIT_MAX_S = 0.4, 2.0
COMMAND_S = 60.0  # the store's driver gives up a statement, and the store with it
# The server ends a transaction in which nothing comes so long.
IDLE_LEADING_S, IDLE_S = int(IDLE_LEADING_MS) / 1000, int(IDLE_MS) / 1000


class Ended(Exception):
    """The server has ended the session."""


@dataclass(eq=False)
class Session:
    """A connection to the server; at most one transaction is open on it."""

    process: Process
    began: int = 0  # how many transactions
    open: bool = False
    ended: bool = False
    # What nobody answers; kept, so that no task of a dead process is thrown away.
    lost: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])


@dataclass(eq=False)
class Retransmission:
    """Something that a cut has stopped: TCP sends it again after a time, then less and less often.

    Hundreds may wait for hours. So only that try is a step of the loop which no known cut stops.
    """

    network: Network
    one: str
    other: str
    again_s: float  # until the first try
    carry: Callable[..., None]
    began: float = field(init=False)
    timer: Step = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.network.loop.now

    def aim(self) -> None:
        """Wait for the first try that may succeed, as far as is known now."""
        network = self.network
        may_pass = max(network.loop.now, network.opens_at(self.one, self.other))
        at, next_s = self.began + self.again_s, _later(self.again_s)
        while at < may_pass and next_s < RETRANSMIT_MAX_S:
            at, next_s = at + next_s, _later(next_s)
        if at < may_pass:
            at += math.ceil((may_pass - at) / next_s) * next_s
        self.timer = network.loop.at(at, None, self._try, next_s)
        network.mended[self] = self._aim_again

    def _aim_again(self) -> None:
        self.timer.cancel()
        self.aim()

    def _try(self, next_s: float) -> None:
        del self.network.mended[self]
        self.carry(again_s=next_s)


def _later(again_s: float) -> float:
    return min(again_s * 1.5, RETRANSMIT_MAX_S)


@dataclass
class Database(Disk):
    """The server. `slow_s` is what one way takes to or from a host, if that is long."""

    network: Network = None  # type: ignore[assignment]
    host: Host = field(default_factory=lambda: Host("db"))
    locked: list[Session] = field(default_factory=list[Session])  # look at who leads

    taken: Callable[[], None] = lambda: None  # somebody leads now
    ends_early: bool = False  # a planted bug: who takes over does not look at the end of the row
    fences: bool = True  # a planted bug if not: everybody may write
    locks: bool = True  # a planted bug if not: who leads may change within a transaction

    def __post_init__(self) -> None:
        self.leaders = FakeLeaders(self.wall)  # who leads, on the clock here

    @classmethod
    def on(cls, loop: HostLoop, network: Network, host: Host) -> "Database":
        """Return an empty database on a host."""
        return cls(
            loop,
            Rows(clock_wall=lambda: WALL_S + host.boottime(loop.now)),
            network=network,
            host=host,
        )

    def share(self) -> None:
        """Let processes that do not lead take jobs in: nobody has written anything yet."""
        self.rows = Rows(clock_wall=lambda: WALL_S + self.wall(), session=SharedHeld)

    def wall(self) -> float:
        """The server's clock, on which leads begin and end."""
        return self.host.boottime(self.loop.now)

    # -- the leader row -------------------------------------------------------------------------

    @property
    def row(self) -> Lead:
        """Who leads, or has led."""
        found = self.leaders.rows.get(SHARD)
        return NOBODY if found is None else found.lead

    def take_lead(self, shard: str, holder: str, url: str, lease_s: float) -> Lead | None:
        """Let somebody lead if nobody does."""
        if self.ends_early and shard in self.leaders.rows:
            self.leaders.rows[shard].until = float("-inf")
        taken: Lead | None = step(self.leaders.take_lead(shard, holder, url, lease_s))
        if taken is not None:
            for session in list(self.locked):  # nobody waits for one that stands still
                self.end(session)
            self.taken()
        return taken

    @property
    def leading(self) -> str | None:
        """Who holds the row, if that lease is not over."""
        row = self.leaders.rows.get(SHARD)
        return None if row is None or row.until <= self.wall() else row.lead.holder

    def is_near(self, host: str) -> bool:
        """Whether nothing is in the way between a host and the server."""
        network, here = self.network, self.host.name
        if network.is_open:
            return host not in self.slow_s
        passes = network.passes
        return passes(host, here) and passes(here, host) and host not in self.slow_s

    def carry(
        self,
        session: Session,
        *,
        there: bool,
        what: Callable[[], None],
        again_s: float = RETRANSMIT_S,
    ) -> None:
        """Bring something to the server or back: late where nothing passes, never twice."""
        one, other = session.process.host, self.host
        if not there:
            one, other = other, one
        if session.ended and there:
            session.lost.append(what)
            return
        if self.network.passes(one.name, other.name):
            way_s = WAY_S + self.slow_s.get(session.process.host.name, 0.0)
            process = None if there else session.process
            self.loop.at(self.loop.now + way_s, process, what)
        else:
            carry = partial(self.carry, session, there=there, what=what)
            Retransmission(self.network, one.name, other.name, again_s, carry).aim()

    def begin(self, session: Session, fence: Lead | None) -> None:
        """Open a transaction: who leads is looked at, and stays so until it ends.

        Without a `fence` it is one of a process that does not lead.
        """
        if fence is not None and self.fences and not self.leaders.is_held(fence):
            raise NotLeader(fence.holder, fence.term)
        session.began += 1
        session.open = True
        if fence is None:
            self._end_if_idle(session, IDLE_S)
        elif self.locks:
            self.locked.append(session)
            self._end_if_idle(session, IDLE_LEADING_S)

    def _end_if_idle(self, session: Session, idle_s: float) -> None:
        number = session.began

        def look() -> None:
            if session.open and session.began == number:
                self.end(session)

        self.loop.at(self.loop.now + idle_s, None, look)

    def end(self, session: Session) -> None:
        """End a session; what its transaction has done is gone."""
        session.ended = True
        self.close(session)

    def close(self, session: Session) -> None:
        """End a transaction."""
        session.open = False
        if session in self.locked:
            self.locked.remove(session)

    def commit(self, session: Session, verb: Verb, args: Any, named: dict[str, Any]) -> Any:
        """Carry a verb out and end the transaction. Raises what the store raises."""
        if session.ended or not session.open:
            raise StoreBroken("the server has ended the session")
        try:
            if self.full:
                raise StoreFull("the disk of the simulation is full")
            failure = self.fails(verb.__name__)
            if isinstance(failure, StoreFull):
                raise failure
            self.writer = session.process
            self.rows.session.tells = not session.process.holder
            result = self.write(verb, args, named)
            self.sync()
            if failure is not None:  # the answer is lost
                session.ended = True
                raise failure
            return result
        finally:
            self.close(session)

    writer: Process | None = None  # whose transaction was committed last


class RemoteStore(DiskStore):
    """The store of one life of a central, over the network."""

    _disk: Database

    def __init__(self, database: Database, process: Process, fence: Lead | None = None) -> None:
        super().__init__(database, process)
        self.fence = fence  # what each transaction looks at first
        self._writer, self._session = asyncio.Lock(), Session(process)
        self._others = Session(process)  # reads, and what is said of the lead
        process.died.append(self._closed)

    def _closed(self) -> None:
        """The kernel of a dead process closes its connections."""
        database = self._disk
        for session in (self._session, self._others):
            database.carry(session, there=True, what=partial(database.end, session))

    async def write(self, verb: Verb, *args: Any, **named: Any) -> Any:
        if verb.__name__ in ORDERED:
            return await self._ordered(verb, args, named)
        database, session, point = self._disk, self._session, self._disk.point
        self.busy += 1
        try:
            database.queued(verb.__name__, args)
            point(self._process, "before a commit")
            async with self._writer:
                if self.is_broken:
                    raise StoreBroken("the connection has failed before")
                await asked(database, session, lambda: database.begin(session, self.fence))
                point(self._process, "within a transaction")
                result = await asked(
                    database,
                    session,
                    lambda: database.commit(session, verb, args, named),
                    WORKS_S,
                )
            point(self._process, "after a commit")
            return result
        except StoreBroken:
            if not self.is_broken:
                self.is_broken = True
                database.broken(self._process)
            raise
        finally:
            self.busy -= 1

    async def _ordered(self, verb: Verb, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        self.busy += 1
        try:
            async with self._writer:
                return await self._read(self._session, verb, args, named)
        finally:
            self.busy -= 1

    async def hint(self, within_s: float) -> None:
        """Wait: all hints are lost."""
        await asyncio.sleep(within_s)

    async def read(self, verb: Verb, *args: Any, **named: Any) -> Any:
        if verb is arrivals:
            self.seen = args[0]
        self.busy += 1
        try:
            return await self._read(self._others, verb, args, named)
        finally:
            self.busy -= 1

    def _read(self, session: Session, verb: Verb, args: Any, named: Any) -> Awaitable[Any]:
        return asked(self._disk, session, lambda: self._disk.read(verb, args, named))


def led(database: Database, process: Process, lead: Lead) -> Any:
    """Return the store as one that leads finds it: unfinished submissions are gone."""
    if database.leaders.is_held(lead):
        opened(database, process)
    return RemoteStore(database, process, lead)


def asked(
    database: Database, session: Session, act: Callable[[], T], works_s: float = 0.0
) -> "asyncio.Future[T]":
    """Let the server do something; return or raise what it says. Raises StoreBroken."""
    answer: asyncio.Future[T] = database.loop.create_future()
    errand = _Errand(database, session, act, works_s, answer)
    if not errand.goes_quickly():
        database.loop.at_host(database.loop.now + COMMAND_S, session.process, errand.give_up)
    return answer


@dataclass(eq=False, slots=True)
class _Errand:
    """A statement on its way, and what the server says on its way back."""

    database: Database
    session: Session
    act: Callable[[], Any]
    works_s: float
    answer: "asyncio.Future[Any]"

    def goes_quickly(self) -> bool:
        """Begin; say whether nothing is in the way now."""
        database, host = self.database, self.session.process.host.name
        if not database.is_near(host):
            database.carry(self.session, there=True, what=self._arrived)
            return False
        at = max(database.loop.now + 2 * WAY_S + self.works_s, database.stalled_until)
        database.loop.at(at, None, self._done)
        return True

    def _arrived(self) -> None:
        database = self.database
        database.loop.at(
            max(database.loop.now + self.works_s, database.stalled_until), None, self._done
        )

    def _done(self) -> None:
        database = self.database
        if database.stalled_until > database.loop.now:
            database.loop.at(database.stalled_until, None, self._done)
            return
        try:
            result, why = self.act(), None
        except Exception as raised:
            result, why = None, raised
        if database.is_near(self.session.process.host.name):
            self._back(result, why)
        else:
            database.carry(self.session, there=False, what=lambda: self._back(result, why))

    def _back(self, result: Any, why: Exception | None) -> None:
        if self.answer.done():
            return
        if why is not None:
            self.answer.set_exception(why)
        else:
            self.answer.set_result(result)

    def give_up(self) -> None:
        self._back(None, StoreBroken("the database does not answer"))


class RemoteLeaders:
    """`pilotage.central.store.leaders.Leaders` over a connection of its own."""

    answered = False  # it is never the wrong database: those that wait are patient

    def __init__(self, database: Database, process: Process) -> None:
        self._database, self._session = database, Session(process)
        ends = partial(database.end, self._session)
        process.died.append(lambda: database.carry(self._session, there=True, what=ends))

    async def take_lead(self, shard: str, holder: str, url: str, lease_s: float) -> Lead | None:
        return await self._asked(lambda: self._database.take_lead(shard, holder, url, lease_s))

    async def renew_lead(self, lead: Lead, lease_s: float) -> bool:
        return await self._asked(lambda: step(self._database.leaders.renew_lead(lead, lease_s)))

    async def lead(self, shard: str) -> Lead | None:
        return await self._asked(lambda: step(self._database.leaders.lead(shard)))

    async def give_up_lead(self, lead: Lead) -> bool:
        return await self._asked(lambda: step(self._database.leaders.give_up_lead(lead)))

    async def close(self) -> None:
        """Nothing is under way: whoever calls has waited."""

    def _asked(self, act: Callable[[], T]) -> Awaitable[T]:
        return asked(self._database, self._session, act)
