"""One of several centrals on a database: it waits, leads, and ends when it may lead no more."""

import asyncio
from collections.abc import Callable
from typing import Any

from pilotage.central.app.central import build
from pilotage.central.operate.leadership import HeldLead, KnownLeader, kept, wait_for_lead
from pilotage.pilot.ports import HttpReply
from pilotage.proto.messages import Misdirection
from pilotage.proto.wire import encode

from .central import CentralHost
from .clocks import CentralClock, Tokens as Randomness
from .database import Database, RemoteLeaders, led
from .processes import Host, HostLoop, Process


class SharedWall(CentralClock):
    """Wall clocks jump together, as those do that follow one time server."""

    def __init__(self, loop: HostLoop, host: Host, wall: Host) -> None:
        super().__init__(loop, host)
        self._of = CentralClock(loop, wall)

    def wall(self) -> float:
        return self._of.wall()

    def boottime(self) -> float:
        """CLOCK_BOOTTIME, which goes on while the host is suspended."""
        return self._host.boottime(self._loop.now)


class Member(CentralHost):
    """A central that shares its database, its blobs and its keys."""

    disk: Database
    clock: SharedWall

    def __init__(self, *args: Any, address: Host, came_up: asyncio.Event, **named: Any) -> None:
        super().__init__(*args, **named)
        self.clock = SharedWall(self.loop, self.host, address)
        self.came_up = came_up
        self.held: HeldLead | None = None
        self.up: Callable[[], None] = _nothing  # it answers for the first time
        self.seen = KnownLeader()
        self.names_leader = False  # while it waits

    @property
    def holder(self) -> str:
        """Its name in the leader row, in this life."""
        return "" if self.process is None else self.process.holder

    def is_able(self) -> bool:
        """Whether it could take the lead now."""
        process, database = self.process, self.disk
        return (
            process is not None
            and bool(process.holder)
            and not process.halted
            and not process.put_aside
            and database.is_near(self.host.name)
            and database.stalled_until <= self.loop.now
        )

    def believes(self) -> bool:
        """Whether it would say of itself that it leads."""
        process, held = self.process, self.held
        if held is None or process is None or process.halted or process.put_aside:
            return False
        return held.standing.leads

    async def _live(self, process: Process) -> None:
        randomness = Randomness(self.chance)
        self.held, process.holder = None, randomness.token()
        self.network.listen(self.host.name, process, self._elsewhere)
        leaders = RemoteLeaders(self.disk, process)
        held = self.held = await wait_for_lead(
            leaders,
            process.holder,
            url_of(self.host),
            clock=self.clock,
            log=self._note,
            now=self.clock.boottime,
            seen=self.seen,
            patient=True,
        )

        def lost(why: str) -> None:
            process.kill()

        async with kept(leaders, held, clock=self.clock, log=self._note, lost=lost):
            await self._lead(process, held, randomness)

    async def _lead(self, process: Process, held: HeldLead, randomness: Randomness) -> None:
        store = self.store = led(self.disk, process, held.lead)
        tokens = await self._tokens(store, randomness)
        world = self._world(
            store,
            randomness,
            self._bus(process),
            leadership=held.standing,
            evaluator=self.evaluator(),
        )
        central = build(world, tokens, self.settings)
        self.built(central)
        await central.recover()
        self.central = central
        process.services, process.tokens = central.services, tokens
        self.network.listen(self.host.name, process, self._serve)
        self.came_up.set()
        self.up()
        await central.run()

    async def _elsewhere(self, method: str, path: str, body: bytes, token: str) -> HttpReply:
        """Another one leads."""
        leader = (self.seen.url() or "") if self.names_leader else ""
        told = Misdirection("not_leader", "another one leads", leader=leader)
        return HttpReply(421, encode(told))


def url_of(host: Host) -> str:
    """Return where a central is reached."""
    return f"https://{host.name}"


def _nothing() -> None:
    pass
