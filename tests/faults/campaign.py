"""A central with pilots at work and people who submit, while faults happen; checked at the end."""

import asyncio
import random
import re
import resource
import secrets
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pilotage.central.client import AsyncClient
from pilotage.central.client.errors import StoreFull, Unreachable
from pilotage.proto.documents.job import Job, Need
from pilotage.proto.job_states import FINAL
from tests.acceptance.running import RunningCentral, running_central
from tests.services.mosquitto import Mosquitto

from .crowd import Crowd, working
from .ledger import audit

END_S = 120.0


def a_job(seconds: float = 0.0) -> Job:
    command = ("sleep", str(seconds)) if seconds else ("true",)
    return Job(command=command, needs=(Need(wall_s=3_600, memory_mb=100),))


@dataclass(repr=False)
class Person:
    """Somebody who submits, each time under one key until it is answered."""

    client: AsyncClient
    name: str
    acknowledged: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    stopped: bool = False

    async def submit(self, key: str, jobs: list[Job]) -> list[int]:
        while True:
            try:
                made = await self.client.submit(jobs, key=key)
            except (StoreFull, Unreachable):
                await asyncio.sleep(0.2)
                continue
            self.acknowledged[key] = list(made.ids())
            return self.acknowledged[key]

    async def keep_submitting(self, chance: random.Random, pause_s: float, job: Job) -> None:
        """Submit a few jobs now and then, until stopped."""
        number = 0
        while not self.stopped:
            await self.submit(f"{self.name} {number}", [job] * chance.randint(1, 20))
            number += 1
            await asyncio.sleep(chance.uniform(0, 2 * pause_s))


@dataclass(repr=False)
class Stage:
    """What a fault happens to."""

    central: RunningCentral
    client: AsyncClient
    crowd: Crowd
    people: list[Person]
    tasks: asyncio.TaskGroup
    submitting: list[asyncio.Task[None]]
    token: str = field(repr=False)

    @property
    def submitted(self) -> dict[str, list[int]]:
        return {key: ids for one in self.people for key, ids in one.acknowledged.items()}

    @property
    def jobs(self) -> int:
        return sum(map(len, self.submitted.values()))

    def audit(self) -> list[str]:
        return audit(self.central.data, self.submitted, self.crowd.truth)

    async def restart(self) -> None:
        """Start the central again, and return when it answers."""
        await asyncio.to_thread(self.central.restart)
        await self.client.health()

    async def all_ended(self, within_s: float = END_S) -> None:
        """Let nobody submit any more, and wait until all jobs are in a final state."""
        for one in self.people:
            one.stopped = True
        async with asyncio.timeout(within_s):
            await asyncio.gather(*self.submitting)
            await all_final(self.client)


async def all_final(client: AsyncClient) -> None:
    """Wait until all jobs are in a final state."""
    while True:
        rows = (await client.summary()).rows
        if not {state for row in rows for state, n in row.counts.items() if n} - FINAL:
            return
        await asyncio.sleep(0.1)


@asynccontextmanager
async def under_load(
    folder: Path,
    options: Mapping[str, str],
    *,
    seed: int = 1,
    pilots: int = 12,
    cores: int = 4,
    people: int = 2,
    pause_s: float = 0.05,
    job_s: float = 0.0,
    errors: str = "",
    ahead: Callable[[RunningCentral, Crowd], None] | None = None,
) -> AsyncGenerator[Stage]:
    """Run a central with pilots and people; after the block all jobs end and the store is checked.

    `ahead` is called once the pilots are known, before they begin.

    Nothing may be lost, nothing may count twice, nothing may have run twice at once, and no
    exception may stand in the log but, where the fault is one, those that look like `errors`.
    """
    chance = random.Random(seed)
    with running_central(folder, options) as central:
        crowd = Crowd(central.url, cores)
        await asyncio.to_thread(crowd.enlist, central.client, pilots)
        if ahead is not None:
            await asyncio.to_thread(ahead, central, crowd)
        token = (central.data / "admin.token").read_text().strip()
        async with AsyncClient(central.url, token) as client, working(crowd) as tasks:
            stage = Stage(central, client, crowd, [], tasks, [], token)
            for number in range(people):
                stage.people.append(Person(client, f"person {number}"))
                working_on = stage.people[-1].keep_submitting(chance, pause_s, a_job(job_s))
                stage.submitting.append(tasks.create_task(working_on))
            yield stage
            await stage.all_ended()
        central.kill9()
        truth = crowd.truth
        print(f"{stage.jobs} jobs, statuses {dict(truth.statuses)}, ends {dict(truth.answers)}")

        found = stage.audit()
        assert not found, "; ".join(found[:20])
        assert stage.jobs > 0
        raised = unforeseen(central.log, errors)
        assert not raised, "; ".join(raised[:20])


def unforeseen(log: str, errors: str = "") -> list[str]:
    """Return the exceptions that a log tells of, but those that look like `errors`."""
    text = log.replace("\\n", "\n").replace('\\"', '"')  # a traceback in one line of JSON
    found = re.findall(r"^[\s|]*((?:\w+\.)*\w*(?:Error|Exception)\b.*)$", text, re.MULTILINE)
    return [one for one in found if not (errors and re.search(errors, one))]


@contextmanager
def many_files() -> Generator[None]:
    """Allow this process, and those that it starts, as many descriptors as may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@asynccontextmanager
async def a_broker(folder: Path) -> AsyncGenerator[tuple[Mosquitto, dict[str, str]]]:
    """Run a mosquitto; yield it and the settings of a central that uses it."""
    broker, options = await asyncio.to_thread(_prepare, folder)
    await broker.start()
    try:
        yield broker, options
    finally:
        broker.stop()


def _prepare(folder: Path) -> tuple[Mosquitto, dict[str, str]]:
    folder.mkdir()
    broker, password = Mosquitto(folder, secrets.token_urlsafe()), folder / "password"
    password.touch(mode=0o600)
    password.write_text(broker.password)
    return broker, {
        "bus.broker": f"mqtt://127.0.0.1:{broker.port}",
        "bus.user": broker.user,
        "bus.password_file": str(password),
    }
