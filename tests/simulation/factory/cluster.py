"""A compute element in a seeded world: batch jobs, each a pilot on fakes, and all that goes wrong.

What it has is true whatever it answers: the limits are compared with that. Its answers are late,
lost, or nonsense; it refuses, breaks, and its batch jobs start late, vanish, are held, or are
killed. All of that ends when the world is calm.
"""

import asyncio
import random
import re
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

from pilotage.central.factory.element import (
    PilotOutput,
    PilotRequest,
    Slot,
    SlotState,
    SubmitResult,
)
from pilotage.central.factory.errors import Denied, ElementOperation, ElementUnreachable
from pilotage.central.factory.start_script import END

TICK_S: Final = 7.0
THERE: Final = frozenset({SlotState.QUEUED, SlotState.RUNNING, SlotState.HELD})
_SECRET: Final = re.compile(rf"<<'{END}' &\n([^\n]*)\n")

Start = Callable[[str], Coroutine[Any, Any, int]]  # a pilot with this secret, to its exit code


@dataclass
class Batch:
    """A batch job: one pilot."""

    stamp: str
    secret: str
    starts_at: float
    state: SlotState = SlotState.QUEUED
    exit_code: int | None = None
    process: asyncio.Task[int] | None = None


class TooMany(AssertionError):
    """The central has more pilots there than it may."""


class Cluster:
    """What stands behind one element; it lives on when the central dies."""

    def __init__(
        self,
        name: str,
        chance: random.Random,
        *,
        slots: int,
        pilots_max: int,
        queued_max: int,
        start: Start,
        strikes: Callable[[], None],
        hides_stamps: bool = False,  # a planted bug: it finds nothing
    ) -> None:
        self._hides_stamps = hides_stamps
        self.name, self._chance = name, chance
        self._slots, self._pilots_max, self._queued_max = slots, pilots_max, queued_max
        self._start, self._strikes = start, strikes
        self.is_calm = False
        self.is_down_until = 0.0
        self.jobs: dict[str, Batch] = {}
        self.happened = Counter[str]()
        self.broken: list[str] = []  # promises
        self._unwanted = set[str]()  # slots that were to be cancelled
        self._denied = set[str]()  # of which it has just said that it knows nothing
        self._numbers = count(1)

    # -- what the central asks ------------------------------------------------------------------

    async def reach(self) -> None:
        await self._way(ElementOperation.REACH)

    async def submit(self, requests: Sequence[PilotRequest]) -> SubmitResult:
        await self._way(ElementOperation.SUBMIT)
        slots: dict[str, str] = {}
        refused: dict[str, str] = {}
        for request in requests:
            if self._happens("one_refused", 0.03):
                refused[request.stamp] = "node configuration is not available"
                continue
            slots[request.stamp] = self._take(request)
        self._look()
        if self._happens("central_dies_before_it_hears", 0.04):
            self._strikes()
            await asyncio.sleep(3_600)
        await self._back(ElementOperation.SUBMIT)
        if self._happens("half_an_answer", 0.05):
            slots = dict(list(slots.items())[::2])
        if slots and self._happens("ids_that_are_none", 0.03):
            slots = {stamp: f"\x1b[0m{slot}" for stamp, slot in slots.items()}
        return SubmitResult(slots, refused)

    async def find(self, stamps: Sequence[str]) -> dict[str, str]:
        await self._way(ElementOperation.STATES)
        await self._back(ElementOperation.STATES)
        wanted = () if self._hides_stamps else stamps
        return {one.stamp: slot for slot, one in self.jobs.items() if one.stamp in wanted}

    async def states(self, slots: Sequence[str]) -> dict[str, Slot]:
        await self._way(ElementOperation.STATES)
        await self._back(ElementOperation.STATES)
        gone = Slot(SlotState.GONE, why="?")
        self._denied.clear()
        if self._happens("knows_nothing_for_a_moment", 0.04):
            self._denied.update(slots)
            return dict.fromkeys(slots, gone)
        return {slot: self._said(slot) if slot in self.jobs else gone for slot in slots}

    def _said(self, slot: str) -> Slot:
        one = self.jobs[slot]
        why = "user env retrieval failed" if one.state is SlotState.HELD else ""
        return Slot(one.state, one.exit_code, why)

    async def cancel(self, slots: Sequence[str]) -> None:
        self._unwanted.update(slots)
        await self._way(ElementOperation.CANCEL)
        for slot in slots:
            if slot in self.jobs and not self._happens("cancel_does_nothing", 0.1):
                self._end(slot, 143)
        await self._back(ElementOperation.CANCEL)

    async def output(self, slot: str) -> PilotOutput:
        await self._way(ElementOperation.OUTPUT)
        return PilotOutput(b"\xff\x00" * 99, b"killed")

    async def forget(self, slots: Sequence[str]) -> None:
        await self._way(ElementOperation.OUTPUT)
        for slot in slots:
            if slot in self.jobs and self.jobs[slot].state is SlotState.ENDED:
                del self.jobs[slot]

    async def _way(self, step: ElementOperation) -> None:
        await asyncio.sleep(self._chance.uniform(0.01, 3.0))
        if self._happens("slow", 0.02):
            await asyncio.sleep(self._chance.uniform(30.0, 100.0))
        if asyncio.get_running_loop().time() < self.is_down_until:
            raise ElementUnreachable(step, "connection refused")
        if self._happens("refuses", 0.02):
            raise Denied(step, "account has expired")
        if self._happens("driver_breaks", 0.02):
            raise ValueError("unexpected line: Lorem ipsum")

    async def _back(self, step: ElementOperation) -> None:
        await asyncio.sleep(self._chance.uniform(0.01, 3.0))
        if self._happens("reply_lost", 0.05):
            raise ElementUnreachable(step, "no answer within 30 s")

    def _happens(self, what: str, chance: float) -> bool:
        if self.is_calm or self._chance.random() >= chance:
            return False
        self.happened[what] += 1
        return True

    # -- what happens there ---------------------------------------------------------------------

    def _take(self, request: PilotRequest) -> str:
        found = _SECRET.search(request.script.decode())
        assert found is not None, "the script has no secret"
        if any(one.stamp == request.stamp for one in self.jobs.values()):
            self.broken.append(f"{request.stamp} was submitted twice")
        slot = f"{self.name}.{next(self._numbers)}"
        wait_s = self._chance.expovariate(1 / 60.0)
        if self._happens("stands_still", 0.02):
            wait_s += 3_000.0
        starts_at = asyncio.get_running_loop().time() + wait_s
        self.jobs[slot] = Batch(request.stamp, found[1], starts_at)
        return slot

    def there(self) -> int:
        """Return how many batch jobs have not ended."""
        return sum(one.state in THERE for one in self.jobs.values())

    def _look(self) -> None:
        # What was to go, and is gone by the element's word, is gone for all that one can know.
        hidden = self._unwanted & self._denied
        living = [
            one.state
            for slot, one in self.jobs.items()
            if one.state in THERE and slot not in hidden
        ]
        queued = sum(one is not SlotState.RUNNING for one in living)
        if len(living) > self._pilots_max:
            self.broken.append(f"{len(living)} pilots at {self.name}, {self._pilots_max} may be")
        if queued > self._queued_max:
            self.broken.append(f"{queued} wait at {self.name}, {self._queued_max} may")

    async def run(self) -> None:
        """Start what waits, and let things go wrong. Ends by cancellation."""
        while True:
            await asyncio.sleep(TICK_S)
            now = asyncio.get_running_loop().time()
            if self._happens("goes_down", 0.004):
                self.is_down_until = now + self._chance.uniform(60.0, 1_500.0)
            running = sum(one.state is SlotState.RUNNING for one in self.jobs.values())
            for slot, one in list(self.jobs.items()):
                if one.state is SlotState.QUEUED:
                    if self._happens("vanishes_in_the_queue", 0.002):
                        del self.jobs[slot]
                    elif one.starts_at <= now and running < self._slots:
                        running += 1
                        self._begin(slot)
                elif one.state is SlotState.RUNNING:
                    self._may_go_wrong(slot)

    def _begin(self, slot: str) -> None:
        one = self.jobs[slot]
        if self._happens("held", 0.02):
            one.state = SlotState.HELD
        elif self._happens("node_is_broken", 0.04):
            self._end(slot, 127)
        elif self._happens("never_speaks", 0.02):
            one.state = SlotState.RUNNING
        else:
            one.state = SlotState.RUNNING
            one.process = asyncio.get_running_loop().create_task(self._start(one.secret))
            one.process.add_done_callback(lambda done: self._ended(slot, done))

    def _may_go_wrong(self, slot: str) -> None:
        if self._happens("killed", 0.003):
            self._end(slot, 137)
        elif self._happens("vanishes", 0.001):
            self._end(slot, None)
            del self.jobs[slot]

    def _ended(self, slot: str, process: asyncio.Task[int]) -> None:
        if slot in self.jobs and not process.cancelled():
            self.jobs[slot].state = SlotState.ENDED
            self.jobs[slot].exit_code = 1 if process.exception() else process.result()

    def _end(self, slot: str, code: int | None) -> None:
        one = self.jobs[slot]
        if one.state is not SlotState.ENDED:
            one.state, one.exit_code = SlotState.ENDED, code
            if one.process is not None:
                one.process.cancel()
