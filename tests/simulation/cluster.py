"""Two centrals on one database: one leads, the other waits to take over.

To the rest of a world they look like one central, that of the one who leads by the database's row.
Requests come over one address, behind which each client stays with the server that has answered it
until it does not, as over a kept connection through a load balancer.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pilotage.central.app.central import Central
from pilotage.central.cwl_runs.evaluator_link import Evaluates
from pilotage.central.settings import Settings

from .api_process import ApiHost
from .bus import Broker, Point
from .central import CentralHost, Shared
from .clocks import CentralClock
from .database import Database
from .member import Member
from .network import Network
from .processes import Host, HostLoop, Process

if TYPE_CHECKING:
    from .leaders import LeaderTroubles

SERVERS = 2


class Cluster:
    """The face of a `CentralHost`, and those behind it."""

    def __init__(
        self,
        loop: HostLoop,
        host: Host,
        network: Network,
        broker: Broker,
        settings: Settings,
        chance: random.Random,
        *,
        point: Point,
    ) -> None:
        self.loop, self.host, self.network, self._chance = loop, host, network, chance
        self.troubles: LeaderTroubles | None = None
        rate = chance.choice((1.0, 0.98, 1.02))
        self.database = self.disk = Database.on(loop, network, Host("db", rate))
        shared = self._shared = Shared(self.database)
        self.blobs, self.files = shared.blobs, shared.files
        self.came_up = asyncio.Event()
        self.members = tuple(
            Member(
                loop,
                Host(f"central-{number + 1}", chance.choice((1.0, 0.98, 1.02, host.rate))),
                network,
                broker,
                settings,
                random.Random(chance.random()),
                point=point,
                shared=shared,
                address=host,
                came_up=self.came_up,
            )
            for number in range(SERVERS)
        )
        self.failures: list[BaseException] = []
        for member in self.members:
            member.failures = self.failures
        self._kept: dict[str, CentralHost] = {}  # by client: over whose connection it speaks
        self._broker, self._settings, self._point = broker, settings, point
        self.api: ApiHost | None = None
        self._people: Host | None = None  # who speak with it
        network.route, network.routed = self._route, self._routed

    def add_api(self, chance: random.Random, people: Host) -> None:
        """Let people speak with a process that does not lead. Call it before anything starts."""
        self.database.share()
        self._people = people
        self.api = ApiHost(
            self.loop,
            Host("api", chance.choice((1.0, 0.98, 1.02, self.host.rate))),
            self.network,
            self._broker,
            self._settings,
            chance,
            point=self._point,
            shared=self._shared,
            cluster=self,
        )

    # -- who leads --------------------------------------------------------------------------------

    @property
    def leader(self) -> Member | None:
        """The one whom the database's row names, if its process lives."""
        holder = self.database.row.holder
        for member in self.members:
            if member.holder == holder and member.process is not None and not member.process.dead:
                return member
        return None

    @property
    def process(self) -> Process | None:
        leader = self.leader
        return None if leader is None else leader.process

    @property
    def central(self) -> Central | None:
        leader = self.leader
        return None if leader is None else leader.central

    @property
    def store(self) -> Any:
        leader = self.leader
        return None if leader is None else leader.store

    @property
    def clock(self) -> CentralClock:
        leader = self.leader
        assert leader is not None, "nobody leads"
        return leader.clock

    @property
    def is_up(self) -> bool:
        leader = self.leader
        return leader is not None and leader.is_up

    # -- as one -----------------------------------------------------------------------------------

    @property
    def log(self) -> list[tuple[str, Mapping[str, object]]]:
        return [line for host in self.hosts for line in host.log]

    @property
    def lives(self) -> list[Process]:
        return [life for host in self.hosts for life in host.lives]

    @property
    def hosts(self) -> tuple[CentralHost, ...]:
        """Return all processes: the members, and the API process, which never leads."""
        return self.members if self.api is None else (*self.members, self.api)

    def start(self) -> None:
        """Start one, which makes what all need, and the others once it answers."""
        first, *others = self.members[0], *self.hosts[1:]
        first.start()

        def up() -> None:
            first.up = _nothing
            for other in others:
                other.start()

        first.up = up

    def kill(self, *, power: bool = False) -> None:
        """End the one that leads. The database has a power supply of its own."""
        leader = self.leader
        if leader is not None:
            leader.kill()

    async def end(self) -> None:
        """SIGTERM of the one that leads."""
        leader = self.leader
        if leader is not None:
            await leader.end()

    def member_of(self, process: Process) -> CentralHost:
        return next(host for host in self.hosts if process in host.lives)

    def named(self, name: str) -> tuple[str, ...]:
        """Return the hosts that a name of the network stands for: all centrals, or one."""
        if name != self.host.name:
            return (name,)
        names = tuple(member.host.name for member in self.members)
        return names if self._chance.random() < 0.4 else (self._chance.choice(names),)

    def admin_token(self) -> str:
        return self.members[0].admin_token()

    async def shadow(self) -> Central:
        """Return a central that has just been rebuilt from what is committed."""
        return await self.members[0].shadow()

    built: Callable[[Central], None]
    evaluator: Callable[[], Evaluates | None]

    def __setattr__(self, name: str, value: Any) -> None:
        """What is planted is planted in all."""
        if name in ("built", "undone", "evaluator"):
            for member in self.members:
                setattr(member, name, value)
        super().__setattr__(name, value)

    # -- the address ------------------------------------------------------------------------------

    def _route(self, source: Host, target: Host) -> Host:
        if target is not self.host:
            return target
        if self.api is not None and source is self._people:
            return self.api.route(self.members)
        kept = self._kept.get(source.name)
        if kept is None:
            kept = self._kept[source.name] = self._chance.choice(self.members)
        return kept.host

    def _routed(self, source: Host, server: Host, status: int) -> None:
        """Nobody leads there, or nobody answers: the connection is closed."""
        if self.api is not None and server is self.api.host:
            self.api.routed(status)
        if status in (0, 421):
            self._kept.pop(source.name, None)


def _nothing() -> None:
    pass
