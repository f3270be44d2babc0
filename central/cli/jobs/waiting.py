"""Waiting for jobs and saying how they ended."""

from collections.abc import Iterable
from typing import Annotated, Any

from cyclopts import Parameter

from pilotage.proto.job_states import JobState

from ...client.errors import JobsHeld
from ...client.waiting.outstanding_jobs import Outstanding
from ..command_frame import Client, CommandResult
from ..exit_codes import ExitCode
from ..presentation import note, number, print_line
from ..progress import bar

_HELD_SHOWN = 5


def _is_wait(_: Any, seconds: float | None) -> None:
    if seconds is not None and not seconds >= 0:
        raise ValueError(f"expected seconds, 0 or more, found {seconds}")


LongestWait = Annotated[
    float | None,
    Parameter(help="Wait at most this many seconds, then exit with code 5.", validator=_is_wait),
]


async def wait_for(
    client: Client,
    ids: Iterable[int],
    submission: int | None,
    timeout_s: float | None,
    *,
    through_held: bool = False,
) -> None:
    """Wait until all jobs have ended, or are Held where that ends the waiting too.

    A bar shows how far they are where somebody watches, and each that becomes Held is told of.
    """
    told = 0

    def tell(job: int, why: str) -> None:
        nonlocal told
        told += 1
        if told <= _HELD_SHOWN:
            note(f"job {job} is Held" + (f": {why}" if why else ""))
        elif told == _HELD_SHOWN + 1:
            note("more jobs are Held: pilotage status --state Held lists them")

    awaited = Outstanding(ids, submission, through_held=through_held, on_held=tell)
    with bar("jobs", awaited.total) as progress:
        try:
            await client.wait_for(awaited, "wait", timeout_s, progress)
        except JobsHeld:
            pass  # each was told of, and the states that are printed next have them


def report_states(counts: dict[JobState, int]) -> CommandResult:
    """Say how many ended how, with the exit code that goes with it."""
    words = ", ".join(f"{number(n)} {state.value}" for state, n in counts.items())
    return CommandResult({"states": counts}, lambda _: print_line(words), outcome(counts))


def outcome(counts: dict[JobState, int]) -> int:
    """Return OK if all jobs are Done, HELD if one waits to be released."""
    if JobState.HELD in counts:
        return ExitCode.HELD
    return ExitCode.OK if set(counts) <= {JobState.DONE} else ExitCode.FAILED
