"""Pilots that live at a pace: jobs of some length, beats between, outputs of their own."""

import asyncio
import hashlib
import random
import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from .asks import Given, Voice
from .fleet import Member
from .line import Line
from .stage import Act
from .wire import head, request

BEAT_S = 40.0
GIVEN = re.compile(
    rb'"job":(\d+),"epoch":(\d+),"attempt_id":(\d+),"lease_s":[0-9.]+,"token":"([^"]+)"'
)
TEXT = b"what a job writes to its standard output, a line of it\n" * 36  # about 2 kB


@dataclass(frozen=True)
class Pace:
    """How long things take, in seconds of the bench: a day may pass in minutes."""

    job_s: float
    beat_s: float = BEAT_S


@dataclass
class Lived:
    """What a crowd of pilots has done."""

    ended: int = 0
    beats: int = 0
    running: int = 0
    took_ms: "array[float]" = field(default_factory=lambda: array("d"))


class Life:
    """One pilot with some slots, on one connection."""

    def __init__(
        self, member: Member, line: Line, lived: Lived, pace: Pace, *, slots: int, seed: int
    ) -> None:
        self._voice, self._line, self._lived = Voice(member, cores=slots), line, lived
        self._pace, self._slots = pace, slots
        self._tokens: dict[Given, str] = {}  # of what runs
        self._rolls = random.Random(seed)
        self._until: dict[Given, float] = {}  # what runs, and when each ends
        self._clock = asyncio.get_running_loop().time

    async def begin(self) -> None:
        """Fill all slots; the jobs are under way already."""
        await self._start(await self._line.ask(self._voice.ask(self._slots)), under_way=True)

    async def run(self, until: float) -> None:
        """Beat, end jobs and start others, until a time of the loop's clock."""
        beat_at = self._clock() + self._pace.beat_s * self._rolls.random()
        while (now := self._clock()) < until:
            job, ends_at = min(
                self._until.items(), key=lambda one: one[1], default=(None, float("inf"))
            )
            due = min(beat_at, ends_at, until)
            if due > now:
                await asyncio.sleep(due - now)
            if job is not None and due == ends_at:
                await self._end(job)
            elif due == beat_at:
                await self._line.ask(self._voice.beat(list(self._until)))
                self._lived.beats += 1
                beat_at += self._pace.beat_s

    async def close(self) -> None:
        await self._line.close()

    async def _end(self, job: Given) -> None:
        """Upload what it wrote, say that it has ended, and take another one."""
        content = b"job %b, epoch %b\n" % job[:2] + TEXT
        name = hashlib.sha256(content).hexdigest()
        put = head(
            f"/v1/blobs/{name}",
            self._tokens.pop(job),
            method="PUT",
            media="application/octet-stream",
        )
        await self._line.ask(request(put, content))
        output = b'{"name":"stdout","sha256":"%b","size_bytes":%d}' % (name.encode(), len(content))
        del self._until[job]
        self._lived.ended += 1
        self._lived.running -= 1
        said = self._voice.ended([job], output, 1, holding=list(self._until))
        await self._start(await self._line.ask(said), under_way=False)

    async def _start(self, body: bytes, *, under_way: bool) -> None:
        found: list[tuple[bytes, bytes, bytes, bytes]] = GIVEN.findall(body)
        self._tokens |= {one[:3]: one[3].decode() for one in found}
        given = [one[:3] for one in found]
        for one in given:
            share = self._rolls.random() if under_way else self._rolls.uniform(0.8, 1.2)
            self._until[one] = self._clock() + share * self._pace.job_s
        self._lived.running += len(given)
        if given:
            await self._line.ask(self._voice.started(given))


async def settle(
    act: Act, members: Sequence[Member], pace: Pace, lived: Lived, *, slots: int
) -> list[Life]:
    """Give every pilot a connection and jobs in all its slots."""
    lives: list[Life] = []
    for seed, member in enumerate(members):
        line = await Line.open(act.url, lived.took_ms, tls=act.tls)
        life = Life(member, line, lived, pace, slots=slots, seed=seed)
        await life.begin()
        lives.append(life)
    return lives


async def live(lives: Sequence[Life], seconds: float) -> None:
    """Let all of them go on for so long."""
    until = asyncio.get_running_loop().time() + seconds
    async with asyncio.TaskGroup() as tasks:
        for one in lives:
            tasks.create_task(one.run(until))
