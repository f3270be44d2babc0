"""Waiting for jobs and saying how they ended."""

from typing import TYPE_CHECKING

from pilotage.proto.job_states import JobState

from .exit_codes import Exit
from .options import Common
from .present import number, print_json, print_line
from .progress import bar

if TYPE_CHECKING:
    from ..client.handles import AsyncSubmissionHandle


async def wait_for_submission(
    handle: "AsyncSubmissionHandle", timeout_s: float | None
) -> dict[JobState, int]:
    """Wait until all jobs have ended, with a bar where somebody watches."""
    with bar("jobs", handle.count) as progress:
        return await handle.wait(timeout_s, progress=progress)


def report_states(counts: dict[JobState, int], common: Common) -> int:
    """Print how many ended how, and return the exit code that goes with it."""
    if common.json:
        print_json({"states": counts})
    else:
        print_line(", ".join(f"{number(n)} {state.value}" for state, n in counts.items()))
    return outcome(counts)


def outcome(counts: dict[JobState, int]) -> int:
    """Return OK if all jobs are Done."""
    return Exit.OK if set(counts) <= {JobState.DONE} else Exit.FAILED
