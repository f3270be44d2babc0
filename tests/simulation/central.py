"""The host of the central: the shipped central on a simulated disk, network, bus and clock."""

import asyncio
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from pilotage.central.app.central import Central, build
from pilotage.central.app.process_parts import World
from pilotage.central.app.route_assembly import ApiServices, Services, face
from pilotage.central.cwl_runs.evaluator_link import Evaluates
from pilotage.central.http.app import HttpApp
from pilotage.central.identity.bans.ban_list import BanList
from pilotage.central.identity.derived_secrets import DerivedSecrets
from pilotage.central.identity.tokens import ADMIN_FILE, TokenIssuer, open_tokens
from pilotage.central.observe.events import no_log
from pilotage.central.ports import Bus
from pilotage.central.settings import Settings
from pilotage.central.store.errors import StoreBroken, StoreFull
from pilotage.pilot.ports import HttpReply
from tests.fake_central import FakeBlobs, FakeDisk
from tests.fakes import DATA, request
from tests.no_providers import no_providers

from .bus import Broker, CentralBus, Point
from .clocks import CentralClock, Tokens as Randomness
from .network import Network
from .processes import HERE, Host, HostLoop, Process
from .store import Disk, Rows, opened
from .violation import Violation

_ENDS = re.compile("StoreBroken|NotLeader")  # with these the process ends


@dataclass(frozen=True)
class Shared:
    """What outlives a central, and what several of them may share."""

    disk: Disk
    blobs: FakeBlobs = field(default_factory=FakeBlobs)
    files: FakeDisk = field(default_factory=FakeDisk)


class CentralHost:
    """One central that dies and is started again on what its disk holds."""

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
        shared: Shared | None = None,
    ) -> None:
        self.loop, self.host, self.network, self.broker = loop, host, network, broker
        self.settings, self.chance, self.point = settings, chance, point
        self.clock = CentralClock(loop, host)
        if shared is None:
            shared = Shared(Disk(loop, Rows(clock_wall=self.clock.wall)))
        self.disk, self.blobs, self.files = shared.disk, shared.blobs, shared.files
        self.process: Process | None = None
        self.central: Central | None = None  # once it answers
        self.came_up, self.went_down = asyncio.Event(), asyncio.Event()
        self.store: Any = None
        self.log: list[tuple[str, Mapping[str, object]]] = []
        self.failures: list[BaseException] = []
        self.lives: list[Process] = []
        self.undone: Callable[[], None] = _nothing  # what was not synced is gone
        self.built: Callable[[Central], None] = lambda central: None  # planted bugs
        # What evaluates CWL documents, of each life another.
        self.evaluator: Callable[[], Evaluates | None] = lambda: None
        self.fronts = _FRONTS
        self.members: tuple[CentralHost, ...] = (self,)
        self.hosts = self.members

    @property
    def is_up(self) -> bool:
        """Whether it takes requests."""
        return self.central is not None and self.process is not None and not self.process.dead

    def named(self, name: str) -> tuple[str, ...]:
        """Return the hosts that a name of the network stands for."""
        return (name,)

    def member_of(self, process: Process) -> "CentralHost":
        """Return the one whose life a process is."""
        return self

    def start(self) -> None:
        """Start the central as a process; it takes requests when it has recovered."""
        process = self.process = Process(self.loop, self.host, self.host.name)
        self.lives.append(process)
        process.died.append(self._died)
        process.start(self._run(process))

    def kill(self, *, power: bool = False) -> None:
        """End it at once; with the power gone, what was not synced is gone as well."""
        if self.process is not None:
            self.process.kill()
        if power and self.disk.lose_unsynced():
            self.undone()

    async def end(self) -> None:
        """SIGTERM: keep what can be kept, then end."""
        process, central = self.process, self.central
        if process is not None and central is not None:
            self.central = None
            self.network.listening.pop(self.host.name, None)
            stopping = process.start(central.stop())
            await asyncio.wait([stopping], timeout=10.0)
            process.kill()

    def admin_token(self) -> str:
        """Return the token that the first start has written."""
        content = self.files.read(DATA / ADMIN_FILE)
        assert content is not None, "the central has never been up"
        return content.decode().strip()

    def _died(self) -> None:
        self.central = None
        self.went_down.set()

    async def _run(self, process: Process) -> None:
        try:
            await self._live(process)
        except StoreFull:
            process.kill()  # it does not start while the disk is full
        except Exception as why:
            self._failed(why)
            process.kill()

    async def _live(self, process: Process) -> None:
        store = self.store = opened(self.disk, process)
        randomness = Randomness(self.chance)
        tokens = await self._tokens(store, randomness)
        world = self._world(store, randomness, self._bus(process), evaluator=self.evaluator())
        central = build(world, tokens, self.settings)
        self.built(central)
        await central.recover()
        self.central = central
        self.came_up.set()
        process.services, process.tokens = central.services, tokens
        self.network.listen(self.host.name, process, self._serve)
        await central.run()

    async def _tokens(
        self, store: Any, randomness: Randomness, *, writes: bool = True
    ) -> TokenIssuer:
        settings = self.settings
        return await open_tokens(
            DATA,
            store=store,
            disk=self.files,
            clock=self.clock,
            randomness=randomness,
            issuer=settings.token.issuer,
            audience=settings.token.audience,
            outside=no_providers(self.clock, randomness).outside,
            community=settings.community.name,
            groups=settings.community.groups,
            writes=writes,
        )

    def _bus(self, process: Process) -> CentralBus:
        return CentralBus(self.broker, process, self.chance, self.point)

    def _world(self, store: Any, randomness: Randomness, bus: Bus, **named: Any) -> World:
        return World(
            store=store,
            blobs=self.blobs,
            bus=bus,
            clock=self.clock,
            randomness=randomness,
            identity=no_providers(self.clock, randomness),
            **{"log": self._note} | named,
        )

    @property
    def front(self) -> HttpApp:
        """The one ASGI application of this Python process: to make one takes 20 ms.

        Downloads bind one to the event loop of a world, which then needs `fronts` of its own.
        """
        if not self.fronts:
            self.fronts.append(front_of(Services))
        return self.fronts[0]

    async def _serve(self, method: str, path: str, body: bytes, token: str) -> HttpReply:
        process = HERE.get()
        assert process is not None
        self.point(process, "before a request")
        try:
            reply = await request(self.front, method, path, body, token)
        except (StoreFull, StoreBroken):
            reply = HttpReply(500, b"{}")
        except Exception as why:
            self._failed(why)
            raise
        self.point(process, "after a request")
        return reply

    def _failed(self, why: BaseException) -> None:
        """Something that nobody foresaw: the world looks at it."""
        if not _is_broken_disk(why):
            self.failures.append(why)

    def _note(self, event: str, **fields: Any) -> None:
        no_log(event, **fields)
        if event == "loop_failed" and not _ENDS.search(str(fields["error"])):
            self.failures.append(Violation("failure", str(fields["error"])))
        self.log.append((event, fields))

    async def shadow(self) -> Central:
        """Return a central that has just been rebuilt from what is committed."""
        tokens = TokenIssuer.__new__(TokenIssuer)
        tokens.bans = BanList(self.disk.rows, self.settings.token.issuer)
        tokens._derived = DerivedSecrets(bytes(32))
        randomness, bus = Randomness(random.Random(0)), self._bus(self.lives[-1])
        world = self._world(self.disk.rows, randomness, bus, log=no_log)
        central = build(world, tokens, self.settings)
        await central.recover()
        return central


def _is_broken_disk(why: BaseException) -> bool:
    parts: tuple[BaseException, ...] = getattr(why, "exceptions", ())
    return all(map(_is_broken_disk, parts)) if parts else isinstance(why, StoreBroken)


def _nothing() -> None:
    pass


class OfProcess:
    """Whatever the central of the running process has under a name: one face serves all lives."""

    def __init__(self, *path: str) -> None:
        self._path = path

    def __getattr__(self, name: str) -> Any:
        found: Any = HERE.get()
        for step in self._path:
            found = getattr(found, step)
        return getattr(found, name)


_FRONTS: list[HttpApp] = []


def front_of(kind: type[ApiServices], **named: Any) -> HttpApp:
    """Return an ASGI application for services of the processes that answer. `named`: of `face`."""
    names: Any = {one.name: OfProcess("services", one.name) for one in fields(kind)}
    return face(kind(**(names | {"tokens": OfProcess("tokens")})), **named)
