"""The world of a pilot in memory: honest fakes of every port in `pilot/ports.py`.

They run on the virtual clock of `tests/virtual.py`. Payloads are scripts: how long they compute,
how they end, what they write. The guard honours fences, freezes and stops as the real one does.
"""

import asyncio
import contextlib
import fnmatch
import hashlib
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pilotage.pilot.agent import Agent, Ports
from pilotage.pilot.events import EVENTS, both
from pilotage.pilot.gpus import NO_GPUS, Gpus
from pilotage.pilot.ports import (
    Bus,
    Downloaded,
    Ended,
    GuardGone,
    GuardNews,
    HttpReply,
    NoReply,
    Outfit,
    Outfitter,
    TooManyBytes,
)
from pilotage.pilot.talk.unsent_log import FileUntoldLog
from pilotage.proto.messages import (
    CHECKPOINT_FILE,
    Assignment,
    BrokerLogin,
    Node,
    Output,
    Usage,
)
from pilotage.proto.tasks import time_limit
from tests.virtual import START_S

FROZEN_MAX_S = 7_200.0
STARTING_S = 0.001


class FakeClock:
    """CLOCK_BOOTTIME of a virtual node: `suspend` lets it jump while the loop's timers stand."""

    def __init__(self) -> None:
        self.suspended_s = 0.0

    def now(self) -> float:
        return asyncio.get_running_loop().time() + self.suspended_s

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class FakeRandomness:
    """Repeatable: the same seed gives the same tokens and spreads."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)

    def token(self) -> str:
        return f"{self._random.getrandbits(128):032x}"

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)


@dataclass(frozen=True)
class Script:
    """What a payload does."""

    duration_s: float = 1.0
    exit_code: int = 0
    stdout: bytes = b""
    stderr: bytes = b""
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    ignores_term: bool = False
    does_not_start: str = ""


def script_of(assignment: Assignment) -> Script:
    """Read a script from the command: true, false, sleep S, exit CODE, echo WORDS."""
    program, *words = assignment.body.command
    if program == "sleep":
        return Script(duration_s=float(words[0]))
    if program == "exit":
        return Script(exit_code=int(words[0]))
    if program == "echo":
        return Script(duration_s=0.01, stdout=(" ".join(words) + "\n").encode())
    known = {"true": Script(duration_s=0.01), "false": Script(duration_s=0.01, exit_code=1)}
    return known.get(program, Script(does_not_start=f"no program {program}"))


@dataclass
class _Payload:
    assignment: Assignment
    script: Script
    folder: Path
    fence: float
    left_s: float
    started_at: float
    nudge: asyncio.Event
    frozen_at: float | None = None
    frozen_s: float = 0.0
    kill_at: float | None = None
    why: str = ""


class FakeGuard:
    """Runs scripts. `runs` has every stretch of time in which a payload computed."""

    def __init__(
        self,
        clock: FakeClock,
        workspace: "FakeWorkspace",
        script: Callable[[Assignment], Script] = script_of,
        isolation: str = "fake",
    ) -> None:
        self._clock, self._workspace, self._script = clock, workspace, script
        self._isolation = isolation
        self._payloads: dict[int, _Payload] = {}
        self._tasks: dict[asyncio.Task[None], None] = {}  # in order, so that runs repeat
        self._news: asyncio.Queue[GuardNews | None] = asyncio.Queue(maxsize=10_000)
        self._dead = False
        self.started: list[int] = []  # attempts, in order
        self.outfits: dict[int, Outfit | None] = {}  # what each was started with
        self.prepared: list[Path] = []
        self.ends_at: list[float] = []
        self.warnings = 0
        self.runs: list[tuple[int, float, float]] = []  # attempt, from, to

    @property
    def isolation(self) -> str:
        return self._isolation

    def prepare(self, folder: Path) -> None:
        self.prepared.append(folder)

    def start(
        self, assignment: Assignment, folder: Path, fence: float, outfit: Outfit | None = None
    ) -> None:
        if self._dead or assignment.attempt_id in self._payloads:
            return
        attempt_id, script = assignment.attempt_id, self._script(assignment)
        self.outfits[attempt_id] = outfit
        if script.does_not_start:
            self._news.put_nowait(GuardNews(attempt_id, not_started=script.does_not_start))
            return
        payload = _Payload(
            assignment,
            script,
            folder,
            fence,
            script.duration_s,
            self._clock.now(),
            asyncio.Event(),
        )
        self._payloads[attempt_id] = payload
        task = asyncio.get_running_loop().create_task(self._run(payload))
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))

    def fence(self, attempt_id: int, fence: float) -> None:
        payload = self._payloads.get(attempt_id)
        if payload is not None:
            payload.fence = fence
            payload.nudge.set()

    def stop(self, attempt_id: int, grace_s: float) -> None:
        payload = self._payloads.get(attempt_id)
        if payload is None:
            return
        soft = grace_s > 0 and payload.script.ignores_term
        kill_at = self._clock.now() + (grace_s if soft else 0.0)
        payload.kill_at = min(kill_at, payload.kill_at if payload.kill_at is not None else kill_at)
        payload.why = "killed"
        payload.nudge.set()

    def ends(self, at: float) -> None:
        self.ends_at.append(at)

    def warn(self) -> None:
        self.warnings += 1

    async def news(self) -> GuardNews:
        news = await self._news.get()
        if news is None:
            raise GuardGone("the fake guard was killed")
        return news

    @property
    def life(self) -> str:
        return "fake"

    def seen_dead(self, attempt_id: int, boot_id: str, namespace: str, life: str) -> bool:
        return attempt_id not in self._payloads

    def die(self) -> None:
        """The guard is killed, and its payloads with it."""
        self._dead = True
        for task in list(self._tasks):
            task.cancel()
        self._payloads.clear()
        self._news.put_nowait(None)

    def frozen(self, attempt_id: int) -> bool:
        payload = self._payloads.get(attempt_id)
        return payload is not None and payload.frozen_at is not None

    async def _run(self, payload: _Payload) -> None:
        attempt_id = payload.assignment.attempt_id
        await asyncio.sleep(STARTING_S)
        self.started.append(attempt_id)
        self._write(payload)
        self._news.put_nowait(GuardNews(attempt_id, started=True))
        since = self._clock.now()
        try:
            while not self._finished(payload):
                since = self._clock.now()
                until = self._next_event(payload)
                payload.nudge.clear()
                with contextlib.suppress(asyncio.TimeoutError):
                    async with time_limit(until - since):
                        await payload.nudge.wait()
                self._account(payload, since)
                self._look_at_fence(payload)
        except asyncio.CancelledError:
            self._account(payload, since)
            raise
        del self._payloads[attempt_id]
        self._news.put_nowait(GuardNews(attempt_id, ended=self._ended(payload)))

    def _finished(self, payload: _Payload) -> bool:
        now = self._clock.now()
        if payload.kill_at is not None and now >= payload.kill_at:
            return True
        if payload.frozen_at is not None:
            if now >= payload.frozen_at + FROZEN_MAX_S:  # as `_next_event` rounds it
                payload.why = "fence"
                return True
            return False
        if payload.left_s <= 1e-9:
            payload.why = ""
            return True
        if now >= self._wall_over(payload):
            payload.why = "wall"
            return True
        return False

    def _wall_over(self, payload: _Payload) -> float:
        return payload.started_at + payload.frozen_s + payload.assignment.grant.wall_s

    def _next_event(self, payload: _Payload) -> float:
        now = self._clock.now()
        times = [payload.kill_at] if payload.kill_at is not None else []
        if payload.frozen_at is not None:
            return min([*times, payload.frozen_at + FROZEN_MAX_S])
        times += [payload.fence, now + payload.left_s, self._wall_over(payload)]
        return min(times)

    def _account(self, payload: _Payload, since: float) -> None:
        now = self._clock.now()
        if payload.frozen_at is None and now > since:
            payload.left_s -= now - since
            self.runs.append((payload.assignment.attempt_id, since, now))

    def _look_at_fence(self, payload: _Payload) -> None:
        now, attempt_id = self._clock.now(), payload.assignment.attempt_id
        if payload.frozen_at is None and now >= payload.fence and payload.left_s > 1e-9:
            payload.frozen_at = now
            self._news.put_nowait(GuardNews(attempt_id, frozen=True))
        elif payload.frozen_at is not None and now < payload.fence:
            payload.frozen_s += now - payload.frozen_at
            payload.frozen_at = None
            self._news.put_nowait(GuardNews(attempt_id, thawed=True))

    def _write(self, payload: _Payload) -> None:
        self._workspace.write(payload.folder / "stdout", payload.script.stdout)
        self._workspace.write(payload.folder / "stderr", payload.script.stderr)
        for name, content in payload.script.files.items():
            self._workspace.write(payload.folder / "work" / name, content)

    def _ended(self, payload: _Payload) -> Ended:
        wall_s = self._clock.now() - payload.started_at - payload.frozen_s
        usage = Usage(wall_s=wall_s, cpu_s=wall_s, frozen_s=payload.frozen_s)
        killed = bool(payload.why)
        return Ended(
            attempt_id=payload.assignment.attempt_id,
            exit_code=None if killed else payload.script.exit_code,
            signal=9 if killed else None,
            frozen_s=payload.frozen_s,
            usage=usage,
            why=payload.why,
        )


class FakeJournal:
    """Survives its pilot: give the same one to the next life, after `crash`."""

    def __init__(self) -> None:
        self._identity: bytes | None = None
        self._assignments: dict[int, bytes] = {}
        self._ended: dict[int, bytes] = {}
        self._durable: tuple[dict[int, bytes], dict[int, bytes]] = ({}, {})

    def keep_identity(self, identity: bytes) -> None:
        self._identity = identity

    def identity(self) -> bytes | None:
        return self._identity

    def keep_assignment(self, attempt_id: int, entry: bytes) -> None:
        self._assignments[attempt_id] = entry

    def keep_ended(self, attempt_id: int, report: bytes) -> None:
        self._ended[attempt_id] = report

    def forget(self, attempt_id: int) -> None:
        self._assignments.pop(attempt_id, None)
        self._ended.pop(attempt_id, None)

    def sync(self) -> None:
        self._durable = (dict(self._assignments), dict(self._ended))

    def crash(self) -> None:
        """What was not synced is gone."""
        self._assignments, self._ended = dict(self._durable[0]), dict(self._durable[1])

    def assignments(self) -> dict[int, bytes]:
        return dict(self._assignments)

    def ended(self) -> dict[int, bytes]:
        return dict(self._ended)


class FakeWorkspace:
    """Folders as a table of paths. `breaks` are methods that fail, once, as nobody foresaw."""

    def __init__(self) -> None:
        self.files: dict[Path, bytes] = {}
        self.breaks: dict[str, Exception] = {}

    def _break(self, method: str) -> None:
        broken = self.breaks.pop(method, None)
        if broken is not None:
            raise broken

    def write(self, path: Path, content: bytes) -> None:
        self.files[path] = content

    def make(self, attempt_id: int) -> Path:
        self._break("make")
        return self._folder(attempt_id)

    def ahead(self) -> Path:
        return Path("/attempts/ahead")

    def room(self, folder: Path, size_bytes: int, *, bytes_max: int | None = None) -> int:
        self._break("room")
        return max(size_bytes, 1_000_000)

    async def unpack(
        self, file: Path, into: Path, name: str, unpack: bool, *, bytes_max: int | None = None
    ) -> int:
        self._break("unpack")
        self.write(into / name, self.files[file])
        return len(self.files[file])

    async def pack(self, folder: Path, name: str) -> tuple[Output, Path] | None:
        self._break("pack")
        top = folder / "work" / name
        found = {
            str(p.relative_to(top)): c.decode() for p, c in self.files.items() if top in p.parents
        }
        if not found:
            return None
        content = json.dumps(found).encode()
        self.write(folder / "checkpoint.tar", content)
        digest = hashlib.sha256(content).hexdigest()
        return Output(CHECKPOINT_FILE, digest, len(content)), folder / "checkpoint.tar"

    async def restore(self, file: Path, folder: Path, name: str) -> None:
        self._break("restore")
        top = folder / "work" / name
        self.files = {p: c for p, c in self.files.items() if top not in p.parents}
        for path, text in json.loads(self.files[file]).items():
            self.write(top / path, text.encode())

    async def collect(
        self, work: Path, patterns: tuple[tuple[str, bool], ...]
    ) -> tuple[list[tuple[Output, Path]], list[str]]:
        self._break("collect")
        names = {str(p.relative_to(work)): p for p in self.files if work in p.parents}
        found: dict[str, tuple[Output, Path]] = {}
        absent: list[str] = []
        for pattern, required in patterns:
            matching = fnmatch.filter(names, pattern)
            if required and not matching:
                absent.append(pattern)
            for name in matching:
                content = self.files[names[name]]
                digest = hashlib.sha256(content).hexdigest()
                found[name] = Output(name, digest, len(content)), names[name]
        return list(found.values()), absent

    def keep_token(self, folder: Path, name: str, token: str) -> None:
        self._break("keep_token")
        self.write(folder / "tokens" / name, token.encode())

    def drop_tokens(self, folder: Path) -> None:
        top = folder / "tokens"
        self.files = {p: c for p, c in self.files.items() if top not in p.parents}

    def name_stream(self, folder: Path, stream: str, name: str) -> None:
        self._break("name_stream")
        self.files.setdefault(folder / "work" / name, self.files.get(folder / stream, b""))

    def tail(self, folder: Path, stream: str, offset: int, size_max: int) -> bytes:
        return self.files.get(folder / stream, b"")[offset : offset + size_max]

    def size(self, folder: Path, stream: str) -> int:
        return len(self.files.get(folder / stream, b""))

    async def remove(self, attempt_id: int) -> None:
        self._break("remove")
        folder = self._folder(attempt_id)
        self.files = {p: c for p, c in self.files.items() if folder not in p.parents}

    def _folder(self, attempt_id: int) -> Path:
        return Path("/attempts") / str(attempt_id)


@dataclass
class FakeProbe:
    """A node as a table."""

    host: str = "wn1"
    cores_all: int = 1
    memory_all_mb: int = 4_000
    scratch_mb: int = 10_000
    wall_s: float = 1e6
    os: str = "debian13"
    architecture: str = "x86_64"
    node_tags: tuple[str, ...] = ()
    boot: str = "boot-1"
    node_gpus: Gpus = NO_GPUS
    news: list[float] = field(default_factory=list[float])

    def node(self) -> Node:
        return Node(host=self.host, os=self.os, architecture=self.architecture)

    def boot_id(self) -> str:
        return self.boot

    def pid_namespace(self) -> str:
        return "pid:[1]"

    def cores(self) -> int:
        return self.cores_all

    def memory_mb(self) -> int:
        return self.memory_all_mb

    def scratch_free_mb(self) -> int:
        return self.scratch_mb

    def gpus(self) -> Gpus:
        return self.node_gpus

    def wall_left_s(self) -> float:
        return self.wall_s

    async def time_left_again(self) -> float | None:
        """Return what a test has put into `news`, as a batch system whose limit was changed."""
        return self.news.pop(0) if self.news else None

    def tags(self) -> tuple[str, ...]:
        return self.node_tags


# Method, path, body, token → the central's answer. It may raise NoReply.
Central = Callable[[str, str, bytes, str], Awaitable[HttpReply]]


class FakeHttp:
    """Gives every request to a central that is an async function; `cut` is a broken network.

    `lose_replies` lets that many requests arrive whose replies are lost.
    """

    def __init__(
        self, central: Central, workspace: FakeWorkspace, *, latency_s: float = 0.0005
    ) -> None:
        self._central, self._workspace, self._latency_s = central, workspace, latency_s
        self.cut = False
        self.lose_replies = 0

    async def post(
        self, path: str, body: bytes, *, token: str, timeout_s: float, aside: bool = False
    ) -> HttpReply:
        return await self._request("POST", path, body, token, timeout_s)

    def go_to(self, url: str, *, aside: bool = False) -> bool:
        return False  # there is one central, wherever it is

    async def upload(self, path: str, content: Path | bytes, *, token: str) -> HttpReply:
        data = content if isinstance(content, bytes) else self._workspace.files[content]
        return await self._request("PUT", path, data, token, 60.0)

    async def download(self, path: str, file: Path, *, token: str, bytes_max: int) -> Downloaded:
        reply = await self._request("GET", path, b"", token, 60.0)
        if reply.status == 200 and len(reply.body) > bytes_max:
            raise TooManyBytes(f"more than {bytes_max} bytes came")
        self._workspace.write(file, reply.body)
        digest = hashlib.sha256(reply.body).hexdigest()
        return Downloaded(reply.status, digest, len(reply.body))

    async def _request(
        self, method: str, path: str, body: bytes, token: str, timeout_s: float
    ) -> HttpReply:
        try:
            async with time_limit(timeout_s):
                await asyncio.sleep(self._latency_s)
                if self.cut:
                    raise NoReply("the network is cut")
                reply = await self._central(method, path, body, token)
                await asyncio.sleep(self._latency_s)
        except TimeoutError:
            raise NoReply(f"no answer in {timeout_s} s") from None
        if self.cut or self.lose_replies:
            self.lose_replies = max(0, self.lose_replies - 1)
            raise NoReply("the reply was lost")
        return reply


class FakeBus:
    """One pilot's connection to the bus. `sent` takes what it publishes, `hear` what comes down."""

    def __init__(self, sent: Callable[[str, bytes], None], *, starts_up: bool = True) -> None:
        self._sent, self._up = sent, False
        self._starts_up = starts_up
        self._inbound: Callable[[bytes], Awaitable[None]] | None = None
        self._changed: Callable[[bool], None] | None = None
        self._hearing: dict[asyncio.Task[None], None] = {}

    @property
    def up(self) -> bool:
        return self._up

    def publish(self, topic: str, payload: bytes) -> None:
        if self._up:
            self._sent(topic, payload)

    async def run(
        self, inbound: Callable[[bytes], Awaitable[None]], changed: Callable[[bool], None]
    ) -> None:
        self._inbound, self._changed = inbound, changed
        if self._starts_up:
            self.set_up(True)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._up, self._inbound = False, None

    def set_up(self, up: bool) -> None:
        """The broker comes or goes."""
        self._up = up
        if self._changed is not None:
            self._changed(up)

    def inject(self, payload: bytes) -> None:
        """The same as `hear`, from where nothing can be awaited."""
        task = asyncio.get_running_loop().create_task(self.hear(payload))
        self._hearing[task] = None
        task.add_done_callback(lambda done: self._hearing.pop(done, None))

    async def hear(self, payload: bytes) -> None:
        """Something comes on our `down` topic; lost while the bus is down."""
        if self._up and self._inbound is not None:
            await self._inbound(payload)


class FakePilot:
    """A whole pilot on fakes. `agent` gives the next life of it, on the same journal."""

    def __init__(
        self,
        central: Central,
        *,
        probe: FakeProbe | None = None,
        script: Callable[[Assignment], Script] = script_of,
        secret: str = "secret",
        idle_s: float = 0.0,
        seed: int = 1,
        bus_sent: Callable[[str, bytes], None] | None = None,
    ) -> None:
        self.clock, self.random = FakeClock(), FakeRandomness(seed)
        self.journal, self.workspace = FakeJournal(), FakeWorkspace()
        self.probe = probe or FakeProbe()
        self.http = FakeHttp(central, self.workspace)
        self.bus = FakeBus(bus_sent) if bus_sent is not None else None
        self.log: list[tuple[str, Mapping[str, object]]] = []
        self.untold = FileUntoldLog(None, self._wall)
        self._script, self._secret, self._idle_s = script, secret, idle_s
        self.guard = FakeGuard(self.clock, self.workspace, script)
        self.outfitter: Outfitter | None = None
        self.lives: list[Agent] = []

    def agent(self) -> Agent:
        """Return the next life: what ran in the one before is dead, the journal is not."""
        self.journal.crash()
        self.guard = FakeGuard(self.clock, self.workspace, self._script)
        ports = Ports(
            clock=self.clock,
            random=self.random,
            http=self.http,
            bus=self._join,
            guard=self.guard,
            journal=self.journal,
            workspace=self.workspace,
            probe=self.probe,
            log=both(self._note, self.untold.note),
            untold=self.untold,
            outfitter=self.outfitter,
        )
        central = "https://central.example"
        self.lives.append(Agent(ports, secret=self._secret, central=central, idle_s=self._idle_s))
        return self.lives[-1]

    def _wall(self) -> float:
        try:
            return self.clock.now()
        except RuntimeError:  # before the world begins
            return START_S

    def _note(self, event: str, facts: Mapping[str, object]) -> None:
        assert facts.keys() == EVENTS[event], f"{event} is not as in the table of events"
        self.log.append((event, facts))

    def _join(
        self, login: BrokerLogin, ca_pem: str, community: str, pilot: str, will: bytes
    ) -> Bus | None:
        return self.bus
