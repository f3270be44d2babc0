"""`pilotage output`."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from pilotage.proto.api.jobs import JobFilter
from pilotage.proto.api.outputs import JobOutputs
from pilotage.proto.job_states import FINAL

from ...client.downloads.output_plan import EACH_JOB, is_pattern
from ...client.files import Downloaded, FetchedOutput
from ..command_frame import Answers, CentralConnection, Client, CommandResult, changes
from ..exit_codes import ExitCode, UsageError
from ..presentation import files_in_words, note, number, table
from ..progress import byte_bar
from .selection import WHERE, JobSelection, is_ids, job_filter, parse_ids, shown, with_me

_ONE_JOB = "{name}"  # a template: into the folder itself
_RANGES_SHOWN = 5

Selected = JobFilter | tuple[int, ...]


@changes
async def output(
    central: CentralConnection,
    *words: Annotated[
        str, Parameter(name="JOBS", help="Jobs as in 12 20-29, then names or patterns: '*.txt'.")
    ],
    where: JobSelection = WHERE,
    to: Annotated[
        Path | None, Parameter(help="Folder to fetch into, or the file for a single name.")
    ] = None,
    tar: Annotated[
        Path | None, Parameter(help="Archive to write instead: .tar.zst, .tar.gz or .tar.")
    ] = None,
    name: Annotated[
        str,
        Parameter(
            help="Template of paths: {job}, {index} (place in the submission, from 1), {name}, "
            "parameters. Default: {job}/{name}, for a single job {name}."
        ),
    ] = "",
    all: Annotated[
        bool,
        Parameter(help="Fetch all kept files; without jobs, those of all your jobs."),
    ] = False,
    force: Annotated[bool, Parameter(help="Replace local files that differ.")] = False,
) -> Answers:
    """List the files that jobs kept, or fetch some: pilotage output 5-20 '*.json' --to results

    Nothing is fetched if two outputs have one path, or if a local file differs. A repeated command
    fetches only what lacks. The exit code is 1 if a job gave no file.
    """
    ids, names = _ids_and_names(words)
    chosen = job_filter(where)
    if ids and chosen is not None:
        raise UsageError("give either ids or a filter, not both")
    if not ids and chosen is None and not all:
        raise UsageError(
            "no jobs: give ids as in 12 or 20-29, or a filter such as --submission 3, or --all"
        )
    if to is not None and tar is not None:
        raise UsageError("give either --to or --tar, not both")
    client = await central.client()
    fetches = bool(names or all or to is not None or tar is not None or name)
    is_single = len(ids) == 1
    if is_single and (not fetches or _is_one_file(names, name, tar)):
        yield await _of_one_job(client, ids[0], names, to, force=force)
        return
    jobs: Selected = ids or await with_me(client, chosen or JobFilter(owner="me"))
    if not fetches:
        yield await _list(client, jobs)
        return
    template = name or (_ONE_JOB if is_single else EACH_JOB)
    with byte_bar("fetch") as move:
        if tar is not None:
            found = await client.archive_all(
                jobs, tar, names=names, template=template, force=force, on_progress=move
            )
        else:
            found = await client.download_all(
                jobs, to or Path(), names=names, template=template, force=force, on_progress=move
            )
    if tar is not None and found.files:
        yield CommandResult(
            {"files": len(found.files), "path": str(tar)},
            f"{tar}: {files_in_words(len(found.files))}",
        )
    for one in found.files if tar is None else ():
        yield _fetched(one)
    lacks = what_lacks(found)
    if not lacks and not found.files:
        lacks = await no_jobs(client, jobs)
    if lacks:
        note(lacks)
        yield CommandResult(None, code=ExitCode.FAILED)


def _ids_and_names(words: Sequence[str]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the ids of the first words, and the names after them."""
    count = next((at for at, word in enumerate(words) if not is_ids(word)), len(words))
    return parse_ids(tuple(words[:count])), tuple(words[count:])


def _is_one_file(names: Sequence[str], template: str, tar: Path | None) -> bool:
    return len(names) == 1 and not is_pattern(names[0]) and not template and tar is None


async def _of_one_job(
    client: Client, job: int, names: Sequence[str], to: Path | None, *, force: bool
) -> CommandResult:
    """Fetch one output of a job, or list all."""
    if names:
        path = await client.download(job, names[0], to or Path(), force=force)
        return _fetched(FetchedOutput(job, names[0], path))
    kept = (await client.outputs(job)).outputs
    if not kept:
        is_final = (await client.detail(job)).view.state in FINAL
        nothing = f"job {job} kept no files" + ("" if is_final else " yet: it has not ended")
        return CommandResult(kept, lambda _: note(nothing))
    rows = [(one.name, one.size_bytes, one.sha256[:16], one.epoch) for one in kept]
    return CommandResult(kept, table(("name", "bytes#", "sha256", "try#"), rows, empty=""))


async def _list(client: Client, jobs: Selected) -> CommandResult:
    """List the outputs of several jobs."""
    found: list[JobOutputs] = [one async for one in client.outputs_of(jobs)]
    value = [
        {"job": one.view.id, **msgspec.structs.asdict(out)} for one in found for out in one.outputs
    ]
    known = {one.view.id for one in found}
    lacking = Downloaded(
        files=[],
        unfinished=[one.view.id for one in found if one.view.state not in FINAL],
        empty=[one.view.id for one in found if one.view.state in FINAL and not one.outputs],
        missing=[] if isinstance(jobs, JobFilter) else [id for id in jobs if id not in known],
        lost=[],
    )
    if lacks := what_lacks(lacking) or ("" if found else await no_jobs(client, jobs)):
        note(lacks)
    rows = [
        (one.view.id, out.name, out.size_bytes, out.sha256[:16], out.epoch)
        for one in found
        for out in one.outputs
    ]
    columns = ("job#", "name", "bytes#", "sha256", "try#")
    return CommandResult(
        value,
        table(columns, rows, empty=""),
        ExitCode.REFUSED if lacking.missing and not found else ExitCode.OK,
    )


def what_lacks(found: Downloaded) -> str:
    """Return in one line which jobs gave no outputs: `2 jobs have not ended (7, 9)`."""
    parts = [
        _jobs(found.unfinished, "has not ended", "have not ended"),
        _jobs(found.empty, "kept no such files", "kept no such files"),
        _jobs(found.missing, "does not exist", "do not exist"),
    ]
    if found.lost:
        job, name = found.lost[0]
        more = f" and {number(len(found.lost) - 1)} more" if len(found.lost) > 1 else ""
        parts.append(f"the central no longer has {name} of job {job}{more}")
    return "; ".join(part for part in parts if part)


async def no_jobs(client: Client, jobs: Selected) -> str:
    """Return that no jobs match. Raises NotFound for a submission that does not exist."""
    if not isinstance(jobs, JobFilter):
        return "there are no such jobs"
    if jobs.submission is not None:
        await client.submission(jobs.submission)
    return f"no jobs match {shown(jobs)}"


def _jobs(ids: Sequence[int], one: str, many: str) -> str:
    if not ids:
        return ""
    if len(ids) == 1:
        return f"job {ids[0]} {one}"
    return f"{number(len(ids))} jobs {many} ({_ranges(ids)})"


def _ranges(ids: Sequence[int]) -> str:
    """Return ids as in `3, 5-7, …`."""
    runs = [
        [id for _, id in run]
        for _, run in groupby(enumerate(sorted(ids)), key=lambda item: item[1] - item[0])
    ]
    words = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
    return ", ".join(words[:_RANGES_SHOWN] + ["…"] * (len(words) > _RANGES_SHOWN))


def _fetched(one: FetchedOutput) -> CommandResult:
    return CommandResult({"job": one.job, "name": one.name, "path": str(one.path)}, str(one.path))
