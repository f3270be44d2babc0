"""A compute element in memory, which keeps its promises and can be told to break."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from pilotage.central.factory.element import (
    PilotOutput,
    PilotRequest,
    Slot,
    SlotState,
    SubmitResult,
)
from pilotage.central.factory.errors import Denied, ElementOperation, ElementUnreachable


@dataclass
class Queued:
    """A pilot that it has."""

    request: PilotRequest
    slot: Slot
    output: PilotOutput = PilotOutput()


class FakeElement:
    """Queues what it gets; a test starts and ends it. It passes the contract suite of elements."""

    def __init__(self) -> None:
        self.pilots: dict[str, Queued] = {}  # by slot
        self.is_down = self.refuses = self.loses_replies = False
        self.keeps_output = True
        self.breaks: Exception | None = None  # that its driver did not foresee
        self.cancelled: list[str] = []
        self.calls: list[str] = []
        self._n = count(1)

    def called(self, step: ElementOperation) -> None:
        self.calls.append(step.value)
        if self.is_down:
            raise ElementUnreachable(step, "the test says so")
        if self.breaks is not None:
            raise self.breaks

    async def reach(self) -> None:
        self.called(ElementOperation.REACH)

    async def submit(self, requests: Sequence[PilotRequest]) -> SubmitResult:
        self.called(ElementOperation.SUBMIT)
        if self.refuses:
            raise Denied(ElementOperation.SUBMIT, "no such account")
        slots: dict[str, str] = {}
        for request in requests:
            slot = slots[request.stamp] = str(next(self._n))
            self.pilots[slot] = Queued(request, Slot(SlotState.QUEUED))
        if self.loses_replies:
            raise ElementUnreachable(ElementOperation.SUBMIT, "the line was cut")
        return SubmitResult(slots)

    async def find(self, stamps: Sequence[str]) -> dict[str, str]:
        self.called(ElementOperation.STATES)
        return {
            one.request.stamp: slot
            for slot, one in self.pilots.items()
            if one.request.stamp in stamps
        }

    async def states(self, slots: Sequence[str]) -> dict[str, Slot]:
        self.called(ElementOperation.STATES)
        gone = Slot(SlotState.GONE)
        return {slot: self.pilots[slot].slot if slot in self.pilots else gone for slot in slots}

    async def cancel(self, slots: Sequence[str]) -> None:
        self.called(ElementOperation.CANCEL)
        self.cancelled += slots
        for slot in slots:
            if slot in self.pilots and self.pilots[slot].slot.state is not SlotState.ENDED:
                self.says(slot, SlotState.ENDED)

    async def output(self, slot: str) -> PilotOutput:
        self.called(ElementOperation.OUTPUT)
        if not self.keeps_output:
            raise Denied(ElementOperation.OUTPUT, "permission denied")
        return self.pilots[slot].output if slot in self.pilots else PilotOutput()

    async def forget(self, slots: Sequence[str]) -> None:
        self.called(ElementOperation.OUTPUT)
        for slot in slots:
            self.pilots.pop(slot, None)

    def says(self, slot: str, state: SlotState, exit_code: int | None = None) -> None:
        """Let it say this of a slot from now on."""
        if slot in self.pilots:
            self.pilots[slot].slot = Slot(state, exit_code)
