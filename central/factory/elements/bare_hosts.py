"""Pilots on machines without a batch system: the central's own, or one behind SSH."""

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
NOT_BEGUN = 1  # exit code of bare_hosts.sh if it could not start a pilot
_SCRIPT = Path(__file__).with_name("bare_hosts.sh").read_text()


class BareHosts:
    """A compute element that starts every pilot at once, as a process in its own session.

    Its slots are stamps. Other words name no folder of ours, so they count as gone.
    """

    def __init__(self, commands: Commands, folder: str, *, timeout_s: float) -> None:
        self._commands, self._folder, self._timeout_s = commands, folder, timeout_s

    async def reach(self) -> None:
        """Check that the folder can be written. Raises ElementUnreachable and Denied."""
        await self._verb(ElementOperation.REACH, "reach")

    async def submit(self, requests: Sequence[PilotRequest]) -> SubmitResult:
        """Start pilots, each once. Raises ElementUnreachable and Denied if none was started."""
        slots: dict[str, str] = {}
        for request in requests:
            try:
                await self._verb(
                    ElementOperation.SUBMIT, "submit", request.stamp, stdin=request.script
                )
            except (ElementUnreachable, Denied):
                if not slots:
                    raise
                break  # the others are unknown
            slots[request.stamp] = request.stamp
        return SubmitResult(slots)

    async def find(self, stamps: Sequence[str]) -> dict[str, str]:
        """Return the stamps that were started. Raises ElementUnreachable and Denied."""
        done = await self._verb(ElementOperation.STATES, "find", *filter(is_stamp, stamps))
        return {stamp: stamp for stamp in done.text.split() if stamp in set(stamps)}

    async def states(self, slots: Sequence[str]) -> dict[str, Slot]:
        """Return the states of pilots. Raises ElementUnreachable and Denied."""
        done = await self._verb(ElementOperation.STATES, "states", *filter(is_stamp, slots))
        found = {slot: Slot(SlotState.GONE) for slot in slots}
        for line in done.text.splitlines():
            found.update(_slot(line))
        return {slot: found[slot] for slot in slots}

    async def cancel(self, slots: Sequence[str]) -> None:
        """Send SIGTERM, and SIGKILL after a while. Raises ElementUnreachable and Denied."""
        await self._verb(ElementOperation.CANCEL, "cancel", *filter(is_stamp, slots))

    async def output(self, slot: str) -> PilotOutput:
        """Return the ends of both streams. Raises ElementUnreachable and Denied."""
        if not is_stamp(slot):
            return PilotOutput()
        most = str(OUTPUT_MAX_BYTES)
        stdout = await self._verb(ElementOperation.OUTPUT, "output", slot, "stdout", most)
        stderr = await self._verb(ElementOperation.OUTPUT, "output", slot, "stderr", most)
        return PilotOutput(stdout.out, stderr.out)

    async def forget(self, slots: Sequence[str]) -> None:
        """Remove the folders of ended pilots. Raises ElementUnreachable and Denied."""
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
            raise ElementUnreachable(step, f"the answer is {done.text[:200]!r}")
        return done


def _slot(line: str) -> dict[str, Slot]:
    match line.split():
        case [stamp, "ended", code]:  # a payload may write any text there
            return {stamp: Slot(SlotState.ENDED, exit_code=exit_code(code))}
        case [stamp, "ended"]:
            return {stamp: Slot(SlotState.ENDED, why="it was killed, or its machine went down")}
        case [stamp, ("queued" | "running" | "gone") as state]:
            return {stamp: Slot(SlotState(state))}
        case _:
            return {}
