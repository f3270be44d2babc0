"""Many shipped pilots in one process, over real HTTP and MQTT to a real central.

Agent, brain, line and bus are the pilot's own. Guard, workspace, journal and probe are the fakes
of the unit tests, so that a payload is a script and costs nothing. What the payloads did and what
the central acknowledged is kept as the truth that the store is compared with.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec

from pilotage.central.client import Client
from pilotage.pilot.agent import Agent, Ports
from pilotage.pilot.clock import SystemRandomness
from pilotage.pilot.ports import Bus, HttpReply
from pilotage.pilot.talk.bus import factory
from pilotage.proto.api.pilots import SecretRequest
from pilotage.proto.messages import (
    Answer,
    Assignment,
    BrokerLogin,
    How,
    Turn,
    TurnReply,
    What,
)
from tests.fake_pilot import FakeClock, FakeGuard, FakeJournal, FakeProbe, FakeWorkspace, Script

from .wire_http import WireHttp

SECRETS_A_CALL = 1_000
LEAVING_S = 10.0
LOOK_S = 0.05
Attempt = tuple[int, int]  # job and epoch


@dataclass(repr=False)  # it holds thousands of things
class Truth:
    """What has happened, whatever the central believes."""

    attempts: dict[int, Attempt] = field(default_factory=dict[int, Attempt])  # by attempt id
    runs: list[tuple[int, float, float]] = field(default_factory=list[tuple[int, float, float]])
    acknowledged: set[Attempt] = field(default_factory=set[Attempt])  # ends that were answered ok
    answers: Counter[str] = field(default_factory=Counter[str])
    statuses: Counter[int] = field(default_factory=Counter[int])  # of HTTP answers
    events: Counter[str] = field(default_factory=Counter[str])
    late_s: float = 0.0  # how late this process itself has been: what it did then tells nothing

    def begun_again(self) -> list[int]:
        """Return the jobs of which more than one attempt began: one was lost."""
        began = Counter(job for job, _ in self.attempts.values())
        return [job for job, times in began.items() if times > 1]

    def overlaps(self) -> list[str]:
        """Return what ran twice at once: stretches of two attempts of one job."""
        found: list[str] = []
        by_job: dict[int, list[tuple[float, float, int]]] = {}
        for attempt_id, since, until in self.runs:
            job, epoch = self.attempts[attempt_id]
            by_job.setdefault(job, []).append((since, until, epoch))
        for job, stretches in by_job.items():
            stretches.sort()
            for one, other in zip(stretches, stretches[1:], strict=False):
                if one[2] != other[2] and other[0] < one[1] - self.late_s:
                    found.append(f"job {job}: epochs {one[2]} and {other[2]} at {other[0]:.2f}")
        return found


class _Watched(WireHttp):
    """Notes what the central has acknowledged."""

    def __init__(self, url: str, truth: Truth) -> None:
        super().__init__(url)
        self._truth = truth

    async def post(
        self, path: str, body: bytes, *, token: str, timeout_s: float, aside: bool = False
    ) -> HttpReply:
        reply = await super().post(path, body, token=token, timeout_s=timeout_s, aside=aside)
        self._truth.statuses[reply.status] += 1
        if reply.status == 200 and path in ("/v1/turn", "/v1/report"):
            ends = {
                (one.job, one.epoch, one.n)
                for one in msgspec.json.decode(body, type=Turn).reports
                if one.what is What.ENDED and one.how is How.EXITED  # others are no results
            }
            for one in msgspec.json.decode(reply.body, type=TurnReply).reports:
                if (one.job, one.epoch, one.n) in ends:
                    self._truth.answers[one.answer.value] += 1
                    if one.answer is Answer.OK:
                        self._truth.acknowledged.add((one.job, one.epoch))
        return reply


class Member:
    """One pilot of the crowd, over all its lives."""

    def __init__(self, crowd: "Crowd", secret: str, pilot: str) -> None:
        self.pilot = pilot
        self.journal = FakeJournal()
        self.heard: dict[str, float] = {}  # event → when it was last
        self.guard: FakeGuard | None = None
        self._crowd, self._secret = crowd, secret
        self._agent: Agent | None = None
        self._clock, self._random = FakeClock(), SystemRandomness()
        self.http = _Watched(crowd.url, crowd.truth)
        self._make_bus = factory(self._clock, self._random, self._note)

    def agent(self) -> Agent:
        """Return the next life."""
        self.journal.crash()
        workspace = FakeWorkspace()
        self.guard = FakeGuard(self._clock, workspace, self._script)
        self.guard.runs = self._crowd.truth.runs
        ports = Ports(
            clock=self._clock,
            random=self._random,
            http=self.http,
            bus=self._join,
            guard=self.guard,
            journal=self.journal,
            workspace=workspace,
            probe=FakeProbe(
                host=self.pilot,
                cores_all=self._crowd.cores,
                memory_all_mb=2_000 * self._crowd.cores,
            ),
            log=self._note,
        )
        return Agent(ports, secret=self._secret, central=self._crowd.url)

    async def live(self) -> int:
        self._agent = self.agent()
        code = await self._agent.run()
        self.http.close()
        return code

    def leave(self) -> None:
        """End well, at once."""
        if self._agent is not None:
            self._agent.drain("the play is over")
            self._agent.drain("at once")

    def cut_off(self) -> None:
        """End what is left of a life that was cancelled."""
        self.http.close()
        if self.guard is not None:
            self.guard.die()

    def _script(self, assignment: Assignment) -> Script:
        attempt = (assignment.job, assignment.epoch)
        self._crowd.truth.attempts[assignment.attempt_id] = attempt
        return self._crowd.script(assignment)

    def _join(
        self, login: BrokerLogin, ca_pem: str, community: str, pilot: str, will: bytes
    ) -> Bus | None:
        return self._make_bus(login, ca_pem, community, pilot, will)

    def _note(self, event: str, facts: Mapping[str, object]) -> None:
        self._crowd.truth.events[event] += 1
        self.heard[event] = time.monotonic()


def sleeper(assignment: Assignment) -> Script:
    """Run `sleep S` for so long, and everything else for a moment."""
    program, *words = assignment.body.command
    return Script(duration_s=float(words[0]) if program == "sleep" else 0.02)


@dataclass(repr=False)
class Crowd:
    """The pilots and their truth."""

    url: str
    cores: int = 4
    script: Callable[[Assignment], Script] = sleeper
    truth: Truth = field(default_factory=Truth)
    members: list[Member] = field(default_factory=list[Member])

    def enlist(self, client: Client, count: int, site: str = "PIC") -> None:
        """Get secrets for so many pilots."""
        for start in range(0, count, SECRETS_A_CALL):
            wanted = SecretRequest(
                site=site, element="crowd", count=min(SECRETS_A_CALL, count - start)
            )
            made = client.secrets(wanted).secrets
            self.members += [Member(self, one.secret, one.pilot) for one in made]


@asynccontextmanager
async def working(crowd: Crowd) -> AsyncGenerator[asyncio.TaskGroup]:
    """Let all members live; after the block they are told to end, and cut off if they do not."""
    async with asyncio.TaskGroup() as tasks:
        lives = [tasks.create_task(member.live()) for member in crowd.members]
        watching = tasks.create_task(_watch(crowd.truth))
        try:
            yield tasks
            for member in crowd.members:
                member.leave()
            await asyncio.wait(lives, timeout=LEAVING_S)
        finally:
            watching.cancel()
            for life in lives:
                life.cancel()
            await asyncio.wait(lives)
            for member in crowd.members:
                member.cut_off()
            await asyncio.sleep(0.1)  # transports close in the loop's next rounds


async def _watch(truth: Truth) -> None:
    while True:
        began = time.monotonic()
        await asyncio.sleep(LOOK_S)
        truth.late_s = max(truth.late_s, time.monotonic() - began - LOOK_S)


def percentile(values: list[float], share: float) -> float:
    """Return the value below which this share lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
