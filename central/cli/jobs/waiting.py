"""Waiting for jobs, and reporting their ends."""

import asyncio
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from itertools import islice
from typing import Annotated, Any

from pilotage.proto.job_states import JobState

from ...client.errors import JobsHeld
from ...client.waiting.outstanding_jobs import Outstanding
from ..command_frame import Client, CommandResult
from ..exit_codes import ExitCode
from ..presentation import note, number, print_line
from ..progress import bar
from ..units import with_unit

_HELD_SHOWN = 5


def _is_wait(_: Any, seconds: float | None) -> None:
    if seconds is not None and not seconds >= 0:
        raise ValueError(f"expected seconds, 0 or more, found {seconds}")


@contextmanager
def says_what_continues(what: str, again: str) -> Generator[None]:
    """Report after Ctrl-C that `what` continues on the central, and how to wait for it again.

    The interrupt cancels the task of the command; the exit code stays that of an interrupt.
    """
    try:
        yield
    except asyncio.CancelledError:
        note(f"interrupted: {what}; to wait again: {again}")
        raise


LongestWait = Annotated[
    float | None,
    with_unit(
        "timeout_s", help="Wait at most this time, then exit with code 5.", validator=_is_wait
    ),
]


async def wait_for(
    client: Client,
    ids: Iterable[int],
    submission: int | None,
    timeout_s: float | None,
    *,
    through_held: bool = False,
) -> None:
    """Wait until all jobs have ended. Without `through_held`, stop if all remaining jobs are Held.

    It shows a progress bar on a terminal, and reports jobs that become Held.
    """
    reported = 0

    def tell(job: int, why: str) -> None:
        nonlocal reported
        reported += 1
        if reported <= _HELD_SHOWN:
            note(f"job {job} is Held" + (f": {why}" if why else ""))
        elif reported == _HELD_SHOWN + 1:
            note("more jobs are Held: pilotage status --state Held lists them")

    awaited = Outstanding(ids, submission, through_held=through_held, on_held=tell)
    with bar("jobs", awaited.total) as progress:
        try:
            await client.wait_for(awaited, "wait", timeout_s, progress)
        except JobsHeld:
            pass  # `tell` has reported them, and the caller prints the states next


def report_states(
    counts: dict[JobState, int], ids: Iterable[int], submission: int | None
) -> CommandResult:
    """Return the number of jobs in each state, with the exit code for it.

    If a job has failed, the words for people name the command that shows why.
    """
    words = ", ".join(f"{number(n)} {state.value}" for state, n in counts.items())
    first = [*islice(ids, 2)]

    def say(_: Any) -> None:
        print_line(words)
        if JobState.FAILED not in counts:
            return
        if len(first) == 1:
            job = first[0]
            note(f"to see why: pilotage history {job}, pilotage logs {job} --stream stderr")
        elif submission is not None:
            note(f"to see why: pilotage status --submission {submission} --state Failed")

    return CommandResult({"states": counts}, say, outcome(counts))


def outcome(counts: dict[JobState, int]) -> int:
    """Return the exit code: HELD if a job is Held, OK if all jobs are Done, else FAILED."""
    if JobState.HELD in counts:
        return ExitCode.HELD
    return ExitCode.OK if set(counts) <= {JobState.DONE} else ExitCode.FAILED
