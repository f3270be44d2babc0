"""The fake of the factory's tests, whose pilots are processes of this machine for once.

So it is held to what the real ones promise, and tests that use it show something.
"""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from copy import copy
from dataclasses import dataclass
from pathlib import Path

from pilotage.central.factory.commands import Commands
from pilotage.central.factory.element import (
    OUTPUT_MAX_BYTES,
    ComputeElement,
    PilotOutput,
    PilotRequest,
    SlotState,
    SubmitResult,
)
from pilotage.central.factory.errors import Denied, ElementOperation
from tests.fake_element import FakeElement, Queued

from ..rig import Rig
from ..troubles import Troubled


class Acting(FakeElement):
    """Starts what it gets at once. Others may stand behind troubles before the same pilots."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        super().__init__()
        self._group = group
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._troubles: Troubled | None = None

    def behind(self, troubles: Troubled) -> "Acting":
        """Return the same, to whom these troubles happen."""
        found = copy(self)
        found._troubles = troubles
        return found

    def called(self, step: ElementOperation) -> None:
        """Do as the test says. Raises as all calls do."""
        troubles = self._troubles
        if troubles is not None:
            self.is_down = troubles.is_silent or troubles.garbles
            self.loses_replies = troubles.loses_replies_of is not None
            if troubles.has_nothing:
                raise Denied(step, "no such file or directory")
        super().called(step)

    async def submit(self, requests: Sequence[PilotRequest]) -> SubmitResult:
        before = set(self.pilots)
        try:
            return await super().submit(requests)
        finally:
            for slot in self.pilots.keys() - before:
                self._group.create_task(self._run(slot, self.pilots[slot]))

    async def _run(self, slot: str, pilot: Queued) -> None:
        process = self._processes[slot] = await asyncio.create_subprocess_exec(
            *("sh", "-c", pilot.request.script.decode()),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        if pilot.slot.state is SlotState.QUEUED:
            self.says(slot, SlotState.RUNNING)
        else:  # it was cancelled meanwhile
            self.kill([slot])
        stdout, stderr = await process.communicate()
        pilot.output = PilotOutput(stdout[-OUTPUT_MAX_BYTES:], stderr[-OUTPUT_MAX_BYTES:])
        self.says(slot, SlotState.ENDED, process.returncode)

    async def cancel(self, slots: Sequence[str]) -> None:
        await super().cancel(slots)
        self.kill(slots)

    def kill(self, slots: Iterable[str]) -> None:
        """End the processes of these."""
        for slot in slots:
            process = self._processes.get(slot)
            if process is not None and process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End all that runs, and what is about to."""
        for slot in self.pilots:
            self.says(slot, SlotState.ENDED)
        self.kill(self._processes)


@dataclass(frozen=True)
class FakeRig(Rig):
    """The fake, without a driver before it."""

    acting: Acting | None = None

    def element(self, commands: Commands, folder: Path) -> ComputeElement:
        assert self.acting is not None
        return self.acting

    def troubled(self, commands: Commands, folder: Path) -> tuple[ComputeElement, Troubled]:
        assert self.acting is not None
        troubles = Troubled(commands)
        return self.acting.behind(troubles), troubles


@asynccontextmanager
async def rig(folder: Path) -> AsyncGenerator[Rig]:
    """Yield the fake."""
    async with asyncio.TaskGroup() as group:
        acting = Acting(group)
        try:
            yield FakeRig("fake", {}, acting=acting)
        finally:
            acting.close()
