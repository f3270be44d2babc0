"""Guards to which one contract applies: the shipped one, and both that tests live on."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from pilotage.pilot.clock import BootClock
from pilotage.pilot.guard.processes import boot_id, pid_namespace
from pilotage.pilot.guard_link import start_guard
from pilotage.pilot.ports import Guard, GuardNews
from pilotage.proto.messages import Assignment, Body, Grant
from tests import virtual
from tests.fake_pilot import FakeClock, FakeGuard, FakeWorkspace, script_of
from tests.simulation.guard import NodeGuard
from tests.simulation.node_disk import NodeFolders
from tests.simulation.processes import Host, HostLoop, Process
from tests.simulation.truth import Truth

PATIENCE_S = 60.0
LATER_S = 600.0
SLEEPS = ("sleep", "300")  # much longer than anything here


@dataclass(frozen=True)
class Stage:
    """A guard, and what a story does with it."""

    guard: Guard
    now: Callable[[], float]
    folder: Callable[[int], Path]
    read: Callable[[Path], bytes]
    boot_id: str = ""
    namespace: str = ""

    def start(
        self, attempt: int, *command: str, fence_s: float = LATER_S, wall_s: float = LATER_S
    ) -> Path:
        """Start a payload; return its folder."""
        grant = Grant(cores=1, memory_mb=0, wall_s=wall_s)
        assignment = Assignment(attempt, 1, attempt, 60.0, "token", grant, Body(command))
        folder = self.folder(attempt)
        self.guard.start(assignment, folder, self.now() + fence_s)
        return folder

    async def news(self, *of: int) -> GuardNews:
        """Return the next piece of news of one of these attempts; of any, where none is named."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = await self.guard.news()
                if not of or found.attempt_id in of:
                    return found

    def seen_dead(self, attempt: int) -> bool:
        return self.guard.seen_dead(attempt, self.boot_id, self.namespace, "")


Story = Callable[[Stage], Awaitable[None]]


def shipped(tell: Story, folder: Path) -> None:
    """Play a story with the real guard, on the plain rung."""

    def make(attempt: int) -> Path:
        made = folder / str(attempt)
        for part in ("work", "tmp"):
            (made / part).mkdir(parents=True, exist_ok=True)
        return made

    async def play() -> None:
        link = await start_guard(rung="session", hidden=[folder], groups="")
        try:
            clock = BootClock()
            await tell(Stage(link, clock.now, make, Path.read_bytes, boot_id(), pid_namespace()))
        finally:
            await link.close()

    asyncio.run(play())


def fake(tell: Story, folder: Path) -> None:
    """Play a story with the fake that pilots in unit tests have."""

    async def play() -> None:
        clock, workspace = FakeClock(), FakeWorkspace()
        guard = FakeGuard(clock, workspace)
        await tell(Stage(guard, clock.now, workspace.make, lambda path: workspace.files[path]))
        guard.die()

    virtual.run(play())


def simulated(tell: Story, folder: Path) -> None:
    """Play a story with the guard of simulated nodes."""
    loop, host, folders = HostLoop(1e6), Host("node"), NodeFolders()
    pilot, keeper = Process(loop, host, "pilot"), Process(loop, host, "guard")

    def now() -> float:
        return host.boottime(loop.now)

    guard = NodeGuard(
        loop,
        keeper,
        folders,
        now=now,
        truth=Truth(),
        script=script_of,
        chance=random.Random(1),
        life="life",
        alive={},
    )
    stage = Stage(guard, now, folders.make, lambda path: folders.files[path], host.boot)
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(pilot.start(_told(tell, stage)))
    finally:
        asyncio.set_event_loop(None)
        loop.close()


async def _told(tell: Story, stage: Stage) -> None:
    await tell(stage)


DRIVERS = {"shipped": shipped, "fake": fake, "simulated": simulated}
