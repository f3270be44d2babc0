"""Nodes with pilots: agent and guard as processes, a journal and folders on the node's disk.

A pilot that has died comes back from its journal, on the same node, on another one that shares the
folder, or not at all: then another pilot is started.
"""

import asyncio
import errno
import hashlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pilotage.pilot.agent import Agent, Ports
from pilotage.pilot.events import EVENTS, both
from pilotage.pilot.ports import Bus, Downloaded, HttpReply, TooManyBytes
from pilotage.pilot.talk.unsent_log import FileUntoldLog
from pilotage.proto import topics
from pilotage.proto.messages import Assignment, BrokerLogin, Hello
from pilotage.proto.wire import decode
from tests.fake_pilot import FakeProbe, Script

from .bus import Broker, PilotBus, Point as BusPoint
from .clocks import PilotClock, Tokens
from .guard import NodeGuard, Payload
from .network import Network
from .node_disk import DiskJournal, NodeFolders
from .processes import Host, HostLoop, Killed, Process
from .truth import Truth

BLOB_TIMEOUT_S = 60.0


class _Randomness:
    """What a pilot draws, of the kind that its ports want."""

    def __init__(self, chance: random.Random) -> None:
        self._tokens = Tokens(chance)

    def token(self) -> str:
        return self._tokens.token(16)

    def uniform(self, low: float, high: float) -> float:
        return self._tokens.uniform(low, high)


class _Http:
    """`pilotage.pilot.ports.Http` over the simulated network."""

    def __init__(
        self,
        network: Network,
        process: Process,
        central: Host,
        folders: NodeFolders,
        point: BusPoint,
        hello: Callable[[Hello], None],
        hosts: Mapping[str, Host],
    ) -> None:
        """`central` is where all goes at first; `hosts` are the centrals by URL."""
        self._network, self._process = network, process
        self._home, self._hosts = central, hosts
        self._at = {False: central, True: central}  # by `aside`
        self._folders, self._point, self._hello = folders, point, hello

    async def post(
        self, path: str, body: bytes, *, token: str, timeout_s: float, aside: bool = False
    ) -> HttpReply:
        if path == "/v1/pilots/hello":
            self._hello(decode(Hello, body))
        return await self._request("POST", path, body, token, timeout_s, aside=aside)

    def go_to(self, url: str, *, aside: bool = False) -> bool:
        if url and url not in self._hosts:
            return False
        self._at[aside] = self._hosts[url] if url else self._home
        return True

    async def upload(self, path: str, content: Path | bytes, *, token: str) -> HttpReply:
        data = content if isinstance(content, bytes) else self._folders.files[content]
        return await self._request("PUT", path, data, token, BLOB_TIMEOUT_S, aside=True)

    async def download(self, path: str, file: Path, *, token: str, bytes_max: int) -> Downloaded:
        reply = await self._request("GET", path, b"", token, BLOB_TIMEOUT_S, aside=True)
        if reply.status == 200 and len(reply.body) > bytes_max:
            raise TooManyBytes(f"more than {bytes_max} bytes came")
        if self._folders.full:
            raise OSError(errno.ENOSPC, "the disk of the simulated node is full")
        self._folders.write(file, reply.body)
        digest = hashlib.sha256(reply.body).hexdigest()
        return Downloaded(reply.status, digest, len(reply.body))

    async def _request(
        self, method: str, path: str, body: bytes, token: str, timeout_s: float, *, aside: bool
    ) -> HttpReply:
        self._point(self._process, "before a request of a pilot")
        reply = await self._network.request(
            self._process.host,
            self._at[aside],
            method=method,
            path=path,
            body=body,
            token=token,
            timeout_s=timeout_s,
        )
        self._point(self._process, "after a request of a pilot")
        return reply


@dataclass
class Node:
    """A host with its disk and whatever computes on it."""

    host: Host
    journal: DiskJournal
    folders: NodeFolders
    payloads: dict[int, Payload]
    untold: FileUntoldLog  # a power cut takes nothing of it: lines that are lost are nobody's loss

    def power_off(self, chance: random.Random) -> None:
        """Everything on it ends at once, and comes back as after a boot."""
        for process in list(self.host.processes):
            process.kill()
        self.journal.lose_power(chance)
        self.host.boots += 1


class Life:
    """One life of a pilot: its agent and its guard."""

    def __init__(self, pilots: "Pilots", node: Node, secret: str, site: str, n: int) -> None:
        loop, chance, point = pilots.loop, pilots.chance, pilots.point
        self.node, self.site, self.secret, self.number = node, site, secret, n
        self._pilots = pilots
        name = f"{node.host.name}#{n}"
        self.pilot = Process(loop, node.host, f"{name} pilot")
        self.keeper = Process(loop, node.host, f"{name} guard")
        pilots.processes += [self.pilot, self.keeper]
        clock = PilotClock(loop, node.host)
        node.journal.point = lambda what: point(self.pilot, what)
        self.guard = NodeGuard(
            loop,
            pilots.guard_process(self),
            node.folders,
            now=lambda: pilots.guard_now(node.host),
            truth=pilots.truth,
            script=lambda assignment: pilots.script(self, assignment),
            chance=chance,
            life=name,
            alive=node.payloads,
        )
        self.pilot.died.append(self.guard.pilot_died)
        ports = Ports(
            clock=clock,
            random=_Randomness(chance),
            http=_Http(
                pilots.network,
                self.pilot,
                pilots.home(n),
                node.folders,
                point,
                self._hello,
                pilots.hosts,
            ),
            bus=self._bus(pilots),
            guard=self.guard,
            journal=node.journal,
            workspace=node.folders,
            probe=_Probe(host=node.host, name=node.host.name),
            log=both(pilots.note, node.untold.note),
            untold=node.untold,
        )
        self.agent = Agent(ports, secret=secret, central="https://central")
        self.task: asyncio.Task[int] | None = None
        self.over = asyncio.Event()
        self.pilot.died.append(self.over.set)
        self.pilot.soon(self._begin)

    def _hello(self, message: Hello) -> None:
        self._pilots.said_by[message.nonce] = self

    def _begin(self) -> None:
        self.task = self.pilot.loop.create_task(self.agent.run())
        self.task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[int]") -> None:
        """An agent that ends by an error is a fault of ours, but for a full disk."""
        self.over.set()
        why = None if task.cancelled() else task.exception()
        if why is not None and not isinstance(why, (OSError, Killed)):
            self._pilots.failures.append(f"{self.pilot.name}: {why!r}")

    @property
    def is_over(self) -> bool:
        return self.pilot.dead or (self.task is not None and self.task.done())

    @property
    def ended_well(self) -> bool:
        """Whether the pilot has ended by itself, and not by an error."""
        task = self.task
        return task is not None and task.done() and not task.cancelled() and not task.exception()

    def _bus(self, pilots: "Pilots") -> Callable[[BrokerLogin, str, str, str, bytes], Bus | None]:
        def join(
            login: BrokerLogin, ca_pem: str, community: str, pilot: str, will: bytes
        ) -> Bus | None:
            return PilotBus(
                pilots.broker,
                self.pilot,
                pilots.chance,
                pilots.point,
                login,
                down=topics.down(community, pilot),
                will=(topics.up(community, pilot, topics.TopicKind.WILL), will),
            )

        return join


class _Probe(FakeProbe):
    """A node of four cores."""

    def __init__(self, host: Host, name: str) -> None:
        super().__init__(host=name, cores_all=4, memory_all_mb=16_000)
        self._on = host

    def boot_id(self) -> str:
        return self._on.boot


class Pilots:
    """What all nodes share."""

    def __init__(
        self,
        loop: HostLoop,
        network: Network,
        broker: Broker,
        central: Host,
        truth: Truth,
        chance: random.Random,
        *,
        point: BusPoint,
        script: Callable[[Life, Assignment], Script],
    ) -> None:
        self.loop, self.network, self.broker, self.central = loop, network, broker, central
        self.truth, self.chance, self.point, self.script = truth, chance, point, script
        self.lives: list[Life] = []
        self.processes: list[Process] = []
        self.log: list[tuple[str, Mapping[str, object]]] = []
        self.failures: list[str] = []
        self.said_by: dict[str, Life] = {}  # by the nonce of its hello
        self.stale: Callable[[Mapping[str, object]], None] = lambda facts: None
        self.hosts: Mapping[str, Host] = {}  # the centrals by URL, if there are several
        # The first address of each life, drawn apart: that of all centrals, or that of one.
        self.home: Callable[[int], Host] = lambda number: central

    def node(self, name: str) -> Node:
        """Return a new host: its clock may be wrong by 2 %."""
        rate = self.chance.choice((1.0, 0.98, 0.98, 1.02, self.chance.uniform(0.98, 1.02)))
        untold = FileUntoldLog(None, lambda: self.loop.now)
        return Node(Host(name, rate), DiskJournal(), NodeFolders(), {}, untold)

    def live(self, node: Node, secret: str, site: str) -> Life:
        """Start a pilot on a node: a new one, or the next life of the journal that lies there."""
        life = Life(self, node, secret, site, len(self.lives) + 1)
        self.lives.append(life)
        return life

    def guard_process(self, life: Life) -> Process:
        """Return the process whose death ends the payloads. Planted bugs give another one."""
        return life.keeper

    def guard_now(self, host: Host) -> float:
        """Return the clock on which fences stand."""
        return host.boottime(self.loop.now)

    def note(self, event: str, facts: Mapping[str, object]) -> None:
        """Take an event of a pilot's log."""
        assert facts.keys() == EVENTS[event], f"{event} is not as in the table of events"
        self.log.append((event, facts))
        if event == "stale":
            self.stale(facts)
        if event == "draining" and str(facts["why"]).startswith("no new token"):
            self.failures.append(str(facts["why"]))
