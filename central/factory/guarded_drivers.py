"""Guards around every driver: they bound its texts, strike out secrets and limit its programs."""

import asyncio
import dataclasses
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from .commands import Commands, CompletedCommand
from .element import OUTPUT_MAX_BYTES, ComputeElement, PilotOutput, PilotRequest, Slot, SubmitResult
from .errors import ElementTrouble
from .redaction import struck

WORDS_MAX: Final = 1_000  # letters kept of one text of an element
ID_MAX: Final = 512
PROGRAMS_AT_ONCE: Final = 4  # of one element; the spawner's other places are for other elements


class FewCommands:
    """Runs a limited number of commands at a time; a timeout starts with its command."""

    def __init__(self, commands: Commands, at_once: int = PROGRAMS_AT_ONCE) -> None:
        self._commands, self._places = commands, asyncio.Semaphore(at_once)

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        timeout_s: float,
    ) -> CompletedCommand:
        """Run a program to its end. Raises CommandOutcomeUnknown and CommandNotStarted."""
        async with self._places:
            return await self._commands.run(
                argv, stdin=stdin, environment=environment, timeout_s=timeout_s
            )


class GuardedElement:
    """A compute element whose texts may be logged, stored and shown."""

    def __init__(
        self, element: ComputeElement, secrets: Callable[[], Collection[str]] = tuple
    ) -> None:
        self.within, self._secrets = element, secrets

    async def reach(self) -> None:
        """Make a cheap test call."""
        with self._heard():
            await self.within.reach()

    async def submit(self, requests: Sequence[PilotRequest]) -> SubmitResult:
        """Queue pilots. One with an invalid slot id is in neither mapping; `find` looks for it."""
        with self._heard():
            done = await self.within.submit(requests)
        refused = {stamp: self._cleaned(why) for stamp, why in done.refused.items()}
        return SubmitResult(_sound(done.slots), refused)

    async def find(self, stamps: Sequence[str]) -> dict[str, str]:
        """Return the slot ids of those stamps that the element has."""
        with self._heard():
            return _sound(await self.within.find(stamps))

    async def states(self, slots: Sequence[str]) -> dict[str, Slot]:
        """Return a Slot for every given id."""
        with self._heard():
            found = await self.within.states(slots)
        return {
            slot: dataclasses.replace(one, why=self._cleaned(one.why)) if one.why else one
            for slot, one in found.items()
        }

    async def cancel(self, slots: Sequence[str]) -> None:
        """End pilots, queued or running."""
        with self._heard():
            await self.within.cancel(slots)

    async def output(self, slot: str) -> PilotOutput:
        """Return the output of a pilot."""
        with self._heard():
            found = await self.within.output(slot)
        return PilotOutput(found.stdout[-OUTPUT_MAX_BYTES:], found.stderr[-OUTPUT_MAX_BYTES:])

    async def forget(self, slots: Sequence[str]) -> None:
        """Remove the files and records that the element keeps of ended pilots."""
        with self._heard():
            await self.within.forget(slots)

    @contextmanager
    def _heard(self) -> Generator[None]:
        try:
            yield
        except ElementTrouble as why:
            why.say(self._cleaned(why.why))
            raise

    def _cleaned(self, text: str) -> str:
        """Return the element's own words, without secrets, bounded and printable."""
        # Take twice as many letters: the text gets shorter when secrets are struck out.
        plain = "".join(one if one.isprintable() else " " for one in text[: 2 * WORDS_MAX])
        return struck(plain, self._secrets())[:WORDS_MAX]


def _sound(slots: Mapping[str, str]) -> dict[str, str]:
    return {
        stamp: slot
        for stamp, slot in slots.items()
        if 0 < len(slot) <= ID_MAX and slot.isprintable()
    }
