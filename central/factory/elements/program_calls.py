"""Runs the programs of a batch system, and interprets their failures."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import islice

from ..commands import (
    OUTPUT_BYTES_MAX,
    CommandNotStarted,
    CommandOutcomeUnknown,
    Commands,
    CompletedCommand,
)
from ..element import PilotRequest, SubmitResult
from ..errors import Denied, ElementOperation, ElementUnreachable

AT_ONCE = 8
IDS_A_CALL = 500  # fits on a command line


class Calls:
    """Runs a batch system's programs; failures raise ElementUnreachable or Denied."""

    def __init__(
        self, commands: Commands, *, environment: Mapping[str, str], timeout_s: float
    ) -> None:
        self._commands, self._environment, self._timeout_s = commands, environment, timeout_s

    async def run(self, step: ElementOperation, *argv: str, stdin: bytes = b"") -> CompletedCommand:
        """Run a program, whatever its exit code. Raises ElementUnreachable and Denied."""
        try:
            done = await self._commands.run(
                argv, stdin=stdin, environment=self._environment, timeout_s=self._timeout_s
            )
        except CommandOutcomeUnknown as why:
            raise ElementUnreachable(step, str(why)) from None
        except CommandNotStarted as why:
            raise Denied(step, str(why)) from None
        if done.is_cut:  # entries in the missing part of a list would count as gone
            raise ElementUnreachable(step, f"{argv[0]}: printed more than {OUTPUT_BYTES_MAX} bytes")
        return done


async def submit_each(
    requests: Sequence[PilotRequest], submit: Callable[[PilotRequest], Awaitable[str]]
) -> SubmitResult:
    """Submit pilots one by one, some in parallel. If none is queued, raise the first error.

    A refusal of one pilot does not affect the others. If the element stops answering, the rest is
    not tried: it is in neither mapping, so `find` looks for it later.
    """
    slots: dict[str, str] = {}
    refused: dict[str, str] = {}
    raised: list[ElementUnreachable | Denied] = []
    left = iter(requests)

    async def some() -> None:
        for request in left:
            if any(isinstance(why, ElementUnreachable) for why in raised):
                return
            try:
                slots[request.stamp] = await submit(request)
            except Denied as why:
                refused[request.stamp] = why.why
                raised.append(why)
            except ElementUnreachable as why:
                raised.append(why)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(AT_ONCE, len(requests))):
            group.create_task(some())
    if raised and not slots:
        raise next((why for why in raised if isinstance(why, ElementUnreachable)), raised[0])
    return SubmitResult(slots, refused)


def exit_code(text: str) -> int | None:
    """Return an exit code as a batch system prints it; None if the text is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 3 else None


def batches(ids: Sequence[str]) -> Iterator[list[str]]:
    """Yield ids in batches that fit on a command line."""
    left = iter(ids)
    while some := list(islice(left, IDS_A_CALL)):
        yield some
