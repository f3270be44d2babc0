"""Pilots on machines without a batch system: this one, or one behind SSH."""

from collections.abc import Sequence
from pathlib import Path

from ..commands import CommandNotStarted, CommandOutcomeUnknown, Commands, CompletedCommand
from ..element import (
    OUTPUT_MAX_BYTES,
    PilotOutput,
    PilotRequest,
    Slot,
    SlotState,
    SubmitResult,
    is_stamp,
)
from ..errors import Denied, ElementOperation, ElementUnreachable
from .program_calls import exit_code

_DONE = b"bare: done\n"
NOT_BEGUN = 1  # what bare_hosts.sh says where it has not come as far as to start a pilot
_SCRIPT = Path(__file__).with_name("bare_hosts.sh").read_text()


class Bare:
    """A compute element that starts every pilot at once, as a process of its own session.

    Its slots are stamps; what is none is no folder of ours, and so it is gone.
    """

    def __init__(self, commands: Commands, folder: str, *, timeout_s: float) -> None:
        self._commands, self._folder, self._timeout_s = commands, folder, timeout_s

    async def reach(self) -> None:
        """Look whether the folder can be written. Raises Unreachable and Denied."""
        await self._verb(ElementOperation.REACH, "reach")

    async def submit(self, requests: Sequence[PilotRequest]) -> SubmitResult:
        """Start pilots, each once. Raises Unreachable and Denied where not one was started."""
        slots: dict[str, str] = {}
        for request in requests:
            try:
                await self._verb(
                    ElementOperation.SUBMIT, "submit", request.stamp, stdin=request.script
                )
            except (ElementUnreachable, Denied):
                if not slots:
                    raise
                break  # what is not told, nobody knows
            slots[request.stamp] = request.stamp
        return SubmitResult(slots)

    async def find(self, stamps: Sequence[str]) -> dict[str, str]:
        """Return those that were started. Raises Unreachable and Denied."""
        done = await self._verb(ElementOperation.STATES, "find", *filter(is_stamp, stamps))
        return {stamp: stamp for stamp in done.text.split() if stamp in set(stamps)}

    async def states(self, slots: Sequence[str]) -> dict[str, Slot]:
        """Return where pilots stand. Raises Unreachable and Denied."""
        done = await self._verb(ElementOperation.STATES, "states", *filter(is_stamp, slots))
        found = {slot: Slot(SlotState.GONE) for slot in slots}
        for line in done.text.splitlines():
            found.update(_slot(line))
        return {slot: found[slot] for slot in slots}

    async def cancel(self, slots: Sequence[str]) -> None:
        """Send SIGTERM, and SIGKILL after a while. Raises Unreachable and Denied."""
        await self._verb(ElementOperation.CANCEL, "cancel", *filter(is_stamp, slots))

    async def output(self, slot: str) -> PilotOutput:
        """Return the ends of both streams. Raises Unreachable and Denied."""
        if not is_stamp(slot):
            return PilotOutput()
        most = str(OUTPUT_MAX_BYTES)
        stdout = await self._verb(ElementOperation.OUTPUT, "output", slot, "stdout", most)
        stderr = await self._verb(ElementOperation.OUTPUT, "output", slot, "stderr", most)
        return PilotOutput(stdout.out, stderr.out)

    async def forget(self, slots: Sequence[str]) -> None:
        """Remove the folders of those that have ended. Raises Unreachable and Denied."""
        await self._verb(ElementOperation.OUTPUT, "forget", *filter(is_stamp, slots))

    async def _verb(
        self, step: ElementOperation, verb: str, *words: str, stdin: bytes = b""
    ) -> CompletedCommand:
        argv = ("sh", "-c", _SCRIPT, "bare", verb, self._folder, *words)
        try:
            done = await self._commands.run(argv, stdin=stdin, timeout_s=self._timeout_s)
        except CommandOutcomeUnknown as why:
            raise ElementUnreachable(step, str(why)) from None
        except CommandNotStarted as why:
            raise Denied(step, str(why)) from None
        if verb == "submit" and done.code not in (0, NOT_BEGUN):  # of a shell that was ended
            raise ElementUnreachable(step, done.complaint)
        if done.code != 0:
            raise Denied(step, done.complaint)
        if verb != "output" and not done.out.endswith(_DONE):
            raise ElementUnreachable(step, f"it answered {done.text[:200]!r}")
        return done


def _slot(line: str) -> dict[str, Slot]:
    match line.split():
        case [stamp, "ended", code]:  # a payload may write there what it likes
            return {stamp: Slot(SlotState.ENDED, exit_code=exit_code(code))}
        case [stamp, "ended"]:
            return {stamp: Slot(SlotState.ENDED, why="it was killed, or its machine went down")}
        case [stamp, ("queued" | "running" | "gone") as state]:
            return {stamp: Slot(SlotState(state))}
        case _:
            return {}
