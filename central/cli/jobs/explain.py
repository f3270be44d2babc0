"""`pilotage explain`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pilotage.proto.api.explanations import ROOM_ASKED_MAX, Explanation, Obstacle, OfferExplanation
from pilotage.proto.documents.job import Job
from pilotage.proto.images import FOLDER, KINDS, SIF, TAR, tag_of

from ...client.errors import Refused
from ..command_frame import CentralConnection, CommandResult, reads
from ..exit_codes import UsageError
from ..presentation import jobs_in_words, note, number, print_line, print_table
from .error_places import Told, by_line_of, by_option, in_place
from .job_options import JOB_OPTIONS, JobOptions, draft_of, parse_array, refuse_with_file
from .selection import is_ids

_IMAGES = {
    SIF: "an Apptainer file (.sif)",
    TAR: "an archive (.tar, .tar.gz …)",
    FOLDER: "an unpacked folder",
}


@reads
async def explain(
    central: CentralConnection,
    job: str = "",
    /,
    *,
    needs: JobOptions = JOB_OPTIONS,
    array: Annotated[str, Parameter(help="Explain one of these jobs, as for `submit`.")] = "",
    payload: Annotated[tuple[str, ...] | None, Parameter(parse=False)] = None,
) -> CommandResult:
    """Explain why a job waits: how many live offers each clause excludes.

    An offer fits if it could run the job while it is empty. The answer also says how many of
    these offers have room now.

    pilotage explain JOB

    pilotage explain FILE.yaml

    pilotage explain [OPTIONS] -- COMMAND ARGS…

    The last two explain a job that you have not submitted.
    """
    subject, describe = _subject(job, needs, array, payload)
    client = await central.client()
    try:
        found = await client.explain(subject)
    except Refused as why:
        raise in_place(why, describe) from None
    return CommandResult(found, _print)


def _subject(
    job: str, options: JobOptions, array: str, payload: tuple[str, ...] | None
) -> tuple[int | Job, Told]:
    """Return the job to explain, and how to describe the place of a mistake in it."""
    if payload is not None:
        if job:
            raise UsageError("give either a job or a command after `--`, not both")
        if array:
            _note_equal_needs(f"--array {array}", len(parse_array(array)[0]))
        return draft_of(options, payload).job, by_option
    if not job:
        raise UsageError("nothing to explain: give a job id, a job file, or a command after `--`")
    if array:
        raise UsageError("--array is for a command after `--`; a file has `parameters:`")
    refuse_with_file(options)
    if job.isdecimal():
        return int(job), by_option
    path = Path(job)
    if not path.exists():
        if is_ids(job):
            raise UsageError(f"explain takes one job, as in 12; found {job!r}")
        raise UsageError(f"{job!r} is neither a job id nor a file")
    from ...client.documents.job_files import read_job_file

    read = read_job_file(path)
    if read.template is not None:
        _note_equal_needs(job, len(read.parameters))
        return read.template.job, by_line_of(read)
    if len(read.jobs) != 1:
        raise UsageError(f"{job} has {jobs_in_words(len(read.jobs))}: explain takes one job")
    return read.jobs[0].job, by_line_of(read)


def _note_equal_needs(where: str, jobs: int) -> None:
    note(f"{where}: its {jobs_in_words(jobs)} have the same needs: explaining one")


def _print(found: Explanation) -> None:
    what = "this job" if found.job is None else f"job {found.job}"
    print_line(f"{what}: {found.state}")
    for line in headline(found):
        print_line(line)
    if found.obstacles:
        print_table(
            ("clause", "wanted", "excludes#", "nearest offer", "fits without this clause#"),
            (_row(one, found.offers) for one in found.obstacles),
            empty="",
        )
    for line in images_wanted(found):
        print_line(line)
    for line in found.notes:
        print_line(f"- {line}")


def images_wanted(found: Explanation) -> list[str]:
    """Explain the tags that the image adds to the needs of a job."""
    wanted = {word for one in found.obstacles for word in one.wanted.replace("&", " ").split()}
    return [
        f"{tag_of(kind)}: the image is {_IMAGES[kind]}; not every pilot can run such images"
        for kind in KINDS
        if tag_of(kind) in wanted
    ]


def headline(found: Explanation) -> list[str]:
    """Return the answer in one or two sentences."""
    if not found.offers:
        return [] if found.notes else ["no pilot offers cores now: see `pilotage pilot list`"]
    lines = [_fits(found)]
    if found.held and found.held == found.fitting:
        lines.append(
            "limits or bans keep the job from it now"
            if found.fitting == 1
            else "limits or bans keep the job from all of them now"
        )
    elif found.held:
        lines.append(f"limits or bans keep the job from {number(found.held)} of them now")
    if found.ahead:
        come = "comes" if found.ahead == 1 else "come"
        lines.append(f"{jobs_in_words(found.ahead)} for the same offers {come} first")
    alone = max(found.obstacles, key=lambda one: one.would_fit, default=None)
    if not found.fitting and alone is not None and alone.would_fit:
        offers = "1 offer" if alone.would_fit == 1 else f"{number(alone.would_fit)} offers"
        lines.append(
            f"without the clause {alone.clause} ({alone.wanted} wanted), {offers} would fit"
        )
    return lines


def _fits(found: Explanation) -> str:
    """Return how many offers fit when they are empty, and how many of them have room now."""
    offers = f"{number(found.offers)} live {'offer' if found.offers == 1 else 'offers'}"
    fit = "fits" if 1 in (found.fitting, found.offers) else "fit"
    text = f"{number(found.fitting)} of {offers} {fit}"
    room, fitting = found.with_room, found.fitting
    if room is None:
        return text
    if not fitting:
        return f"{text}, even when empty"
    if room == fitting:
        return f"{text} and {'has' if fitting == 1 else 'have'} room now"
    if not room:
        return f"{text} when empty; {'it has no' if fitting == 1 else 'none of them has'} room now"
    least = "at least " if fitting > ROOM_ASKED_MAX else ""
    has = "has" if room == 1 else "have"
    return f"{text} when empty; {least}{number(room)} of them {has} room now"


def pilot_headline(found: OfferExplanation) -> list[str]:
    """Return which waiting jobs a pilot could run, in one or two sentences."""
    if not found.waiting:
        return [] if found.notes else ["no job of the pilot's community waits"]
    jobs = f"{number(found.waiting)} waiting {'job' if found.waiting == 1 else 'jobs'}"
    fit = "fits" if 1 in (found.fitting, found.waiting) else "fit"
    text = f"{number(found.fitting)} of {jobs} {fit} the free capacity"
    if found.when_empty is not None and found.when_empty != found.fitting:
        text += f"; {number(found.when_empty)} would fit if the pilot were empty"
    lines = [text]
    if found.held:
        lines.append(f"limits or bans stop {number(found.held)} of those now")
    return lines


def print_pilot(found: OfferExplanation) -> None:
    """Print why a pilot gets no job."""
    for line in pilot_headline(found):
        print_line(line)
    if found.obstacles:
        print_table(
            ("clause", "excludes#", "fits without this clause#"),
            ((one.clause, one.excludes, one.would_fit) for one in found.obstacles),
            empty="",
        )
    for line in found.notes:
        print_line(f"- {line}")


def _row(one: Obstacle, offers: int) -> tuple[object, ...]:
    return one.clause, one.wanted, f"{one.excludes} of {offers}", one.best or "-", one.would_fit
