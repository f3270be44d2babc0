"""A whole pilotage on fakes: the shipped central and pilots, no socket, thread, file or process.

The parts stand in `memory_store`, `fake_central`, `fake_bus`, `fake_pilot`; here they are joined,
on the virtual clock of `tests.virtual`.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pilotage.central.accounts.disk_room import NoDisk
from pilotage.central.app.central import Central, build
from pilotage.central.app.process_parts import World
from pilotage.central.app.route_assembly import face
from pilotage.central.catalogue.storages import Storages
from pilotage.central.cwl_runs.evaluator_link import Evaluates
from pilotage.central.dispatch.limits import Policy
from pilotage.central.failover.mails import Mailer
from pilotage.central.http.app import HttpApp
from pilotage.central.identity.callers import User
from pilotage.central.identity.tokens import ADMIN_FILE, TokenIssuer, open_tokens
from pilotage.central.notifications.assembly import Senders
from pilotage.central.observe.events import Log, no_log
from pilotage.central.ports import Space
from pilotage.central.settings import CommunitySettings, LeaseSettings, Settings
from pilotage.pilot.ports import Bus, HttpReply, NoReply
from pilotage.proto.api.pilots import SecretRequest
from pilotage.proto.messages import Assignment, BrokerLogin
from tests.fake_bus import FakeBroker, FakeBus, FakePilotBus
from tests.fake_central import FakeBlobs, FakeDisk, FakeRandomness
from tests.fake_pilot import FakePilot, FakeProbe, Script, script_of
from tests.memory_store import MemoryStore
from tests.no_providers import no_providers

DATA = Path("/data")
WALL_S = 1_800_000_000.0


class LoopClock:
    """The central's clock: the time of the loop it runs on."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        return WALL_S + asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class FakeInstallation:
    """One central that can be killed and started again, and any number of pilots."""

    def __init__(self, *, lease_s: float = 120.0, seed: int = 1) -> None:
        self.clock = LoopClock()
        self.store = MemoryStore(clock_wall=self.clock.wall)
        self.blobs, self.disk, self.broker = FakeBlobs(), FakeDisk(), FakeBroker()
        self.randomness = FakeRandomness(seed)
        self.storages = Storages()
        self.mailer: Mailer | None = None
        self.senders = Senders()
        self.policy: Policy | None = None
        self.evaluator: Evaluates | None = None
        self.space: Space = NoDisk()
        self.identity = no_providers(self.clock, self.randomness)
        self.log: Log = no_log
        self.settings = Settings(
            lease=LeaseSettings(lease_s=lease_s),
            community=CommunitySettings(name="ctao", groups=("dpps",)),
        )
        self._central: Central | None = None
        self._front: HttpApp | None = None
        self._tokens: TokenIssuer | None = None
        self._running: asyncio.Task[None] | None = None
        self.pilots: list[FakePilot] = []

    # -- the central ----------------------------------------------------------------------------

    @property
    def central(self) -> Central:
        assert self._central is not None, "the central is down"
        return self._central

    @property
    def is_down(self) -> bool:
        return self._central is None

    async def start(self) -> None:
        """Start a central on what the store holds."""
        self.store = self.store.reopened()
        self._tokens = await open_tokens(
            DATA,
            store=self.store,
            disk=self.disk,
            clock=self.clock,
            randomness=self.randomness,
            issuer=self.settings.token.issuer,
            audience=self.settings.token.audience,
            outside=self.identity.outside,
            community=self.settings.community.name,
            groups=self.settings.community.groups,
        )
        world = World(
            store=self.store,
            blobs=self.blobs,
            bus=FakeBus(self.broker),
            clock=self.clock,
            randomness=self.randomness,
            log=self.log,
            storages=self.storages,
            mailer=self.mailer,
            senders=self.senders,
            policy=self.policy,
            evaluator=self.evaluator,
            space=self.space,
            identity=self.identity,
        )
        central = build(world, self._tokens, self.settings)
        await central.recover()
        self._central = central
        self._running = asyncio.get_running_loop().create_task(central.run())

    def face(self, central: Central) -> HttpApp:
        """Return what answers pilots."""
        return face(central.services)

    async def kill(self) -> None:
        """End the central at once: what was not synced is gone, nobody is told."""
        running, self._running = self._running, None
        self._central = self._front = None
        if running is not None:
            running.cancel()
            await asyncio.wait([running])

    def user(self) -> User:
        """Return the administrator of the community."""
        assert self._tokens is not None
        token = self.disk.read(DATA / ADMIN_FILE)
        assert token is not None
        caller = self._tokens.caller(token.decode().strip())
        assert isinstance(caller, User)
        return caller

    async def ask(self, method: str, path: str, body: bytes, token: str) -> HttpReply:
        """Send one request through the ASGI application. Raises NoReply while it is down."""
        if self._central is None:
            raise NoReply("connection refused")
        if self._front is None:  # only now: many tests never ask
            self._front = self.face(self._central)
        front = self._front
        reply = await request(front, method, path, body, token)
        if front is not self._front:
            raise NoReply("the central was killed meanwhile")
        return reply

    # -- pilots ---------------------------------------------------------------------------------

    async def pilot(
        self,
        site: str,
        *,
        probe: FakeProbe | None = None,
        script: Callable[[Assignment], Script] = script_of,
        idle_s: float = 0.0,
    ) -> FakePilot:
        """Return a pilot with a fresh secret; its `agent().run()` is its life."""
        made = await self.central.services.pilots.make_secrets(
            self.user(), SecretRequest(site=site)
        )
        return self.pilot_with(made.secrets[0].secret, probe=probe, script=script, idle_s=idle_s)

    def pilot_with(
        self,
        secret: str,
        *,
        probe: FakeProbe | None = None,
        script: Callable[[Assignment], Script] = script_of,
        idle_s: float = 0.0,
    ) -> FakePilot:
        """Return a pilot with a secret that somebody has made."""
        pilot = _Pilot(
            self,
            probe=probe,
            script=script,
            secret=secret,
            idle_s=idle_s,
            seed=len(self.pilots) + 2,
        )
        self.pilots.append(pilot)
        return pilot


class _Pilot(FakePilot):
    """A pilot that joins the installation's broker."""

    def __init__(self, installation: FakeInstallation, **how: Any) -> None:
        super().__init__(installation.ask, **how)
        self._broker = installation.broker

    def _join(
        self, login: BrokerLogin, ca_pem: str, community: str, pilot: str, will: bytes
    ) -> Bus | None:
        return FakePilotBus(self._broker, community, pilot, login)


async def request(front: HttpApp, method: str, path: str, body: bytes, token: str) -> HttpReply:
    """Call an ASGI application as one HTTP request."""
    sent: list[dict[str, Any]] = []
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        if not waiting:  # a client that goes before its answer would get only a part of it
            await asyncio.get_running_loop().create_future()
        return waiting.pop()

    async def send(message: Any) -> None:
        sent.append(message)

    path, _, query = path.partition("?")
    headers = [
        (b"authorization", f"Bearer {token}".encode()),
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": headers if token else headers[1:],
        "client": ("fake", 1),
        "server": ("fake", 80),
        "state": {},
    }
    await front(scope, receive, send)
    status = next(one["status"] for one in sent if one["type"] == "http.response.start")
    return HttpReply(
        status,
        b"".join(one.get("body", b"") for one in sent if one["type"] == "http.response.body"),
    )
