"""Runs of workflows on this machine, for `pilotage prod submit --local`."""

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..exit_codes import ExitCode, UsageError
from ..presentation import note, number, print_json, print_line, print_table, watched
from .workflow_files import told

if TYPE_CHECKING:
    from ...workflows.flow import StepCounts, WorkflowFile
    from ...workflows.local_runs import RunEnvironment, RunResult
    from ...workflows.source_lines import WorkflowSource

SAID_MAX = 10  # failed tasks that are reported in full


def run_here(
    written: "WorkflowSource",
    catalogue: "list[WorkflowFile]",
    folder: Path | None,
    cores: int | None,
    *,
    resume: bool,
    json: bool,
) -> int:
    """Run a workflow on this machine, print the outcome, and return the exit code."""
    from ...workflows.local_runs import RunEnvironment

    where = folder or Path(f"{written.workflow.name}.run")
    place = RunEnvironment(
        where.absolute(), written.text.folder, cores or os.cpu_count() or 1, dict(os.environ)
    )
    outcome = _run(written, place, catalogue, resume=resume)
    _print_outcome(outcome, where, json=json)
    return ExitCode.OK if outcome.complete else ExitCode.FAILED


def counts_of_run(folder: Path, steps: tuple[str, ...]) -> "Mapping[str, StepCounts]":
    import msgspec

    from ...workflows.flow import StepCounts
    from ...workflows.local_runs import RECORD, RunRecord

    try:
        record = msgspec.json.decode((folder / RECORD).read_bytes(), type=RunRecord)
    except OSError as why:
        raise UsageError(f"{folder / RECORD}: {why.strerror or why}") from None
    except msgspec.DecodeError as why:
        raise UsageError(f"{folder / RECORD} is not the record of a run: {why}") from None
    if set(record.steps) != set(steps):
        raise UsageError(f"{folder} is a run of another workflow: {record.workflow}")
    return {
        name: StepCounts(one.made, one.done, one.failed, one.skipped, one.made)
        for name, one in record.steps.items()
    }


def _run(
    written: "WorkflowSource",
    place: "RunEnvironment",
    catalogue: "list[WorkflowFile]",
    *,
    resume: bool,
) -> "RunResult":
    from ...workflows.earlier_runs import claimed
    from ...workflows.local_runs import run

    async def within() -> "RunResult":
        this = asyncio.current_task()
        assert this is not None
        loop = asyncio.get_running_loop()
        for sign in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(sign, this.cancel)
        return await run(written.workflow, place, catalogue, progress=_progress())

    try:
        with told(), claimed(place.folder, written.workflow.name, resume=resume):
            return asyncio.run(within())
    except asyncio.CancelledError:
        note(f"stopped: all tasks have ended; their files are in {place.folder}")
        raise KeyboardInterrupt from None


def _progress() -> "Callable[[Mapping[str, StepCounts]], None]":
    """Return a function that shows the progress on one line of a terminal."""
    if not watched():
        return lambda counts: None

    def show(counts: "Mapping[str, StepCounts]") -> None:
        import sys

        done = sum(one.done for one in counts.values())
        made = sum(one.made for one in counts.values())
        failed = sum(one.failed for one in counts.values())
        bad = f", {failed} failed" if failed else ""
        sys.stderr.write(f"\r\x1b[K{done} of {made} tasks done{bad}")
        if done + failed == made:
            sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()

    return show


def _print_outcome(outcome: "RunResult", folder: Path, *, json: bool) -> None:
    if json:
        print_json(outcome.record)
    else:
        rows = [
            (name, one.done, one.failed, one.skipped, "starved" if name in outcome.starved else "")
            for name, one in outcome.counts.items()
        ]
        print_table(("step", "done#", "failed#", "skipped#", ""), rows, empty="")
    if outcome.reused:
        note(f"{number(outcome.reused)} tasks of an earlier run were kept")
    for (step, port), count in outcome.left.items():
        if step not in outcome.starved:
            note(f"step {step}: no task took {number(count)} files of {port}")
    for failure in outcome.failures[:SAID_MAX]:
        note(f"step {failure.step}, task {failure.task} failed: {failure.reason}")
        if failure.said:
            note(failure.said)
    if len(outcome.failures) > SAID_MAX:
        note(f"and {len(outcome.failures) - SAID_MAX} more failed")
    for step, why in outcome.incomplete.items():
        note(f"step {step}: {why}")
    if outcome.starved:
        note("not complete, because earlier steps failed: " + ", ".join(outcome.starved))
    if not json:
        state = "complete" if outcome.complete else "not complete"
        files = number(len(outcome.record.files))
        print_line(f"{state}: {files} files in {folder}")
