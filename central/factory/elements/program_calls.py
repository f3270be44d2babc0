"""How drivers run the programs of a batch system, and what their failures mean."""

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
IDS_A_CALL = 500  # a command line has room for more


class Calls:
    """Runs a batch system's programs; what fails is raised as Unreachable or Denied."""

    def __init__(
        self, commands: Commands, *, environment: Mapping[str, str], timeout_s: float
    ) -> None:
        self._commands, self._environment, self._timeout_s = commands, environment, timeout_s

    async def run(self, step: ElementOperation, *argv: str, stdin: bytes = b"") -> CompletedCommand:
        """Run a program, whatever its exit code. Raises Unreachable and Denied."""
        try:
            done = await self._commands.run(
                argv, stdin=stdin, environment=self._environment, timeout_s=self._timeout_s
            )
        except CommandOutcomeUnknown as why:
            raise ElementUnreachable(step, str(why)) from None
        except CommandNotStarted as why:
            raise Denied(step, str(why)) from None
        if done.is_cut:  # what is not in the rest of a list would be taken for gone
            raise ElementUnreachable(step, f"{argv[0]}: printed more than {OUTPUT_BYTES_MAX} bytes")
        return done


async def submit_each(
    requests: Sequence[PilotRequest], submit: Callable[[PilotRequest], Awaitable[str]]
) -> SubmitResult:
    """Submit one by one, some at once. Raises what the first one raised, where none is queued.

    A refusal of one pilot says nothing of others; where the element is not heard any more, what
    has not been tried is left alone: it is in neither list, and so it is looked for later.
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
    """Return an exit code as a batch system prints it, None where it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 3 else None


def batches(ids: Sequence[str]) -> Iterator[list[str]]:
    """Yield ids in as many pieces as command lines need."""
    left = iter(ids)
    while some := list(islice(left, IDS_A_CALL)):
        yield some
