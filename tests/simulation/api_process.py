"""A process of the role `api` beside those that lead or wait: the shipped one, and its faults.

People speak with it alone, unless it does not answer: then one request may go to another process,
as through a load balancer. So a key may come to two processes at once.
"""

import asyncio
import random
from collections.abc import Coroutine
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pilotage.central.app.api import build_api
from pilotage.central.app.route_assembly import ApiServices
from pilotage.central.bus.no_bus import SilentBus
from pilotage.central.http.app import HttpApp
from pilotage.central.http.forwarding import SILENT_S, LeaderLink
from pilotage.central.store.leaders import SHARD

from .central import CentralHost, OfProcess, front_of
from .clocks import Tokens as Randomness
from .database import Database, RemoteLeaders, RemoteStore
from .member import SharedWall
from .processes import Host, Process
from .transport import Transport

if TYPE_CHECKING:
    from .cluster import Cluster
    from .world import World

WORLDS = 1 / 3
FAULTS = ("killed", "dies", "stopped", "slow", "cut", "cut_from_db", "cut_from_leader")
AIMED = ("dies_at_submit", "leader_dies_at_submit", "stops_at_submit", "cut_at_submit")
AWAY_S = (3.0, 8.0, 60.0, 250.0)
STEPS = 40  # of a process that dies soon


class ApiHost(CentralHost):
    """One such process that dies and is started again."""

    disk: Database

    def __init__(self, *args: Any, cluster: "Cluster", **named: Any) -> None:
        super().__init__(*args, **named)
        self.clock = SharedWall(self.loop, self.host, cluster.host)
        self._servers = {member.host.name: member.host for member in cluster.members}
        self._passed_over = False  # the next request goes to another process
        self.failures = cluster.failures

    def route(self, others: tuple[CentralHost, ...]) -> Host:
        """Return which host takes the next request of people."""
        if not self._passed_over:
            return self.host
        self._passed_over = False
        return self.chance.choice(others).host

    def routed(self, status: int) -> None:
        """It has answered a request, or not (0)."""
        self._passed_over = status == 0 and self.chance.random() < 0.5

    @cached_property
    def front(self) -> HttpApp:
        """The ASGI application of this world: one binds itself to an event loop."""
        return front_of(
            ApiServices,
            leader_link=_AtTheCall("elsewhere"),
            recognise=_AtTheCall("owners").recognise,
        )

    async def _live(self, process: Process) -> None:
        store: Any = RemoteStore(self.disk, process)
        randomness, leaders = Randomness(self.chance), RemoteLeaders(self.disk, process)
        tokens = await self._tokens(store, randomness, writes=False)
        drivers = self._world(store, randomness, SilentBus())

        async def leader() -> str | None:
            found = await leaders.lead(SHARD)
            return None if found is None else found.url

        central = build_api(drivers, tokens, self.settings, leader)
        way = Transport(self.network, self.host, self._servers.__getitem__, timeout_s=SILENT_S)
        process.elsewhere = LeaderLink(central.leader.url, self._note, transport=way)
        process.services, process.tokens, process.owners = central.services, tokens, central.owners
        await central.begin()
        self.network.listen(self.host.name, process, self._serve)
        await central.run()


class _AtTheCall(OfProcess):
    """Methods of what the running process has, looked up at each call."""

    def __getattr__(self, name: str) -> Any:
        find = super().__getattr__
        return lambda *args, **named: find(name)(*args, **named)


class ApiTroubles:
    """What goes wrong with the process of one world."""

    def __init__(self, world: "World", cluster: "Cluster", api: ApiHost) -> None:
        self._world, self._cluster, self._api = world, cluster, api
        self._chance = chance = random.Random(f"troubles of the api of world {world.seed}")
        share = chance.choice((0.0, 0.2, 0.5))
        self._faults = [fault for fault in FAULTS if chance.random() < share]
        self._aimed = [fault for fault in AIMED if chance.random() < share]

    def all(self) -> list[Coroutine[Any, Any, None]]:
        """Return all loops; none ends before the world does."""
        return [self._often(), self._world.troubles.again(self._api)]

    async def _often(self) -> None:
        world, chance = self._world, self._chance
        await world.troubles.begun.wait()
        while True:
            await asyncio.sleep(chance.uniform(10.0, 150.0))
            process = self._api.process
            if self._faults and not world.is_calm and process is not None and not process.dead:
                self._hurt(chance.choice(self._faults), process)

    def submitted(self, process: Process) -> None:
        """A submission is committed, and not yet answered."""
        fault = self._chance.choice(AIMED)
        if process.host is self._api.host and not self._world.is_calm and fault in self._aimed:
            self._hurt(fault.removesuffix("_at_submit"), process)

    def _hurt(self, fault: str, process: Process) -> None:
        world, chance, loop = self._world, self._chance, self._world.loop
        seconds = chance.choice(AWAY_S) * chance.uniform(0.5, 1.0)
        name, until, leader = self._api.host.name, loop.now + seconds, self._cluster.leader
        world.say(f"trouble: {name} {fault}, {seconds:.1f} s")
        if fault == "killed":
            process.kill()
        elif fault == "dies":
            process.fuse = chance.randint(0, STEPS)
        elif fault == "leader_dies":
            if leader is not None and leader.process is not None:
                leader.process.fuse = chance.randint(0, STEPS)
        elif fault in ("stopped", "stops"):
            process.stop()
            loop.at(until, None, process.go_on)
        elif fault == "slow":
            slow = self._cluster.database.slow_s
            slow[name] = chance.choice((0.3, 1.5, 4.0))
            loop.at(until, None, slow.pop, name, None)
        elif fault == "cut_from_db":
            database = self._cluster.database.host.name
            world.network.cut(name, database, seconds, both=chance.random() < 0.7)
        elif fault == "cut_from_leader" and leader is not None:
            world.network.cut(name, leader.host.name, seconds, both=chance.random() < 0.7)
        elif fault == "cut":
            world.network.cut(name, "*", seconds)
