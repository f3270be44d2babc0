"""`pilotage explain`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pilotage.proto.api import Explanation, Obstacle
from pilotage.proto.job import Job

from .exit_codes import Exit, UsageError
from .job_options import JOB_OPTIONS, JobOptions, draft_of, refuse_with_file
from .options import COMMON, READING_S, Common, run_with
from .present import number, print_json, print_line, print_table

if TYPE_CHECKING:
    from ..client.client import AsyncClient


def explain(
    job: str = "",
    /,
    *,
    needs: JobOptions = JOB_OPTIONS,
    payload: Annotated[tuple[str, ...] | None, Parameter(parse=False)] = None,
    common: Common = COMMON,
) -> int:
    """Say why a job waits, clause by clause: how many live offers each clause excludes.

    pilotage explain JOB

    pilotage explain FILE.yaml

    pilotage explain [OPTIONS] -- COMMAND ARGS…

    The last two are about jobs that are not submitted.
    """
    subject = _subject(job, needs, payload)

    async def work(client: "AsyncClient") -> int:
        found = await client.explain(subject)
        if common.json:
            print_json(found)
        else:
            _print(found)
        return Exit.OK

    return run_with(common, work, patience_s=READING_S)


def _subject(job: str, options: JobOptions, payload: tuple[str, ...] | None) -> int | Job:
    if payload is not None:
        if job:
            raise UsageError("give either a job or a command after `--`, not both")
        return draft_of(options, payload).job
    if not job:
        raise UsageError("explain what? Give a job id, a job file, or a command after `--`")
    refuse_with_file(options)
    if job.isdecimal():
        return int(job)
    path = Path(job)
    if not path.exists():
        raise UsageError(f"{job!r} is neither a job id nor a file")
    from ..client.job_file import read_job_file

    read = read_job_file(path)
    draft = read.template or read.jobs[0]
    if len(read.jobs) > 1:
        raise UsageError(f"{job} holds {len(read.jobs)} jobs: explain takes one")
    return draft.job


def _print(found: Explanation) -> None:
    what = "this job" if found.job is None else f"job {found.job}"
    print_line(f"{what}: {found.state}")
    for line in headline(found):
        print_line(line)
    if found.obstacles:
        print_table(
            ("clause", "wanted", "excludes#", "nearest offer", "would fit without it#"),
            (_row(one, found.offers) for one in found.obstacles),
            empty="",
        )
    for line in found.notes:
        print_line(f"- {line}")


def headline(found: Explanation) -> list[str]:
    """Return the answer in a sentence or two."""
    if not found.offers:
        return [] if found.notes else ["no pilot offers anything now: see `pilotage pilot list`"]
    lines = [f"{number(found.fitting)} of {number(found.offers)} live offers fit"]
    if found.ahead:
        lines.append(f"{number(found.ahead)} jobs that the same offers could run are before it")
    alone = max(found.obstacles, key=lambda one: one.would_fit, default=None)
    if not found.fitting and alone is not None and alone.would_fit:
        lines.append(
            f"but for {alone.clause} ({alone.wanted} wanted), {number(alone.would_fit)} would fit"
        )
    return lines


def _row(one: Obstacle, offers: int) -> tuple[object, ...]:
    return one.clause, one.wanted, f"{one.excludes} of {offers}", one.best or "-", one.would_fit
