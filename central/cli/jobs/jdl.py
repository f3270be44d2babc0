"""Descriptions in JDL on the command line: `submit FILE.jdl` and `show JOB --jdl`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ...client.errors import BadDescription, Refused
from ...client.submissions.submission_bodies import STREAM_ABOVE
from ..command_frame import Answers, CentralConnection, Client, CommandResult
from ..exit_codes import ExitCode, UsageError, exit_code_of
from ..presentation import note, print_line
from ..progress import bar
from ..unknown_places import warn_of_unknown
from .waiting import report_states, says_what_continues, wait_for

if TYPE_CHECKING:
    from ...client.documents.job_files import Draft
    from ...workflows.jdl.translation import JdlFile

STDIN: Final = "/dev/stdin"  # `-` on the command line
_OTHER_FORMS: Final = (".yaml", ".yml", ".json", ".ndjson")
_HEAD_BYTES: Final = 4_096


@dataclass(frozen=True)
class JdlSubmission:
    """What to do with some descriptions."""

    files: Sequence[Path]
    group: str
    running_max: int
    wait: bool
    dry_run: bool
    ids_file: Path | None


def are_jdl(files: Sequence[Path]) -> bool:
    """Return whether these files are in JDL. Raises UsageError if only some of them are."""
    found = [_is_jdl(file) for file in files]
    if any(found) and not all(found):
        other = files[found.index(False)]
        raise UsageError(f"{other}: the other files are in JDL: submit this one on its own")
    return all(found)


def _is_jdl(file: Path) -> bool:
    if str(file) == STDIN or file.suffix.lower() == ".jdl":
        return True
    if file.suffix.lower() in _OTHER_FORMS or not file.is_file():
        return False
    with file.open("rb") as stream:
        return stream.read(_HEAD_BYTES).lstrip().startswith(b"[")


def add_ids(file: Path | None, ids: Iterable[int]) -> None:
    """Add ids to a file, one a line. Raises UsageError if it cannot be written."""
    if file is None:
        return
    try:
        with file.open("a") as stream:
            stream.writelines(f"{one}\n" for one in ids)
    except OSError as why:
        raise UsageError(f"--ids-file {file}: {why.strerror}; the jobs are submitted") from None


async def submit_jdl_files(central: CentralConnection, asked: JdlSubmission) -> Answers:
    """Submit each description on its own. Mistakes are reported after the other files."""
    from ...client.documents.jdl_files import drafts_of, text_of

    client = await central.client()
    context = await client.jdl_context()
    if asked.group:
        context = msgspec.structs.replace(context, group=asked.group)
    wrong: list[tuple[str, ExitCode]] = []
    for file in asked.files:
        where = "stdin" if str(file) == STDIN else str(file)
        try:
            read, drafts = drafts_of(text_of(file), where, context, Path())
            for line in read.notes:
                note(f"{where}: {line}")
            if asked.dry_run:
                yield _dry(read, drafts)
                continue
            async for answer in _submit(client, asked, read, drafts):
                yield answer
        except BadDescription as why:
            wrong.append((str(why), ExitCode.USAGE))
        except Refused as why:
            wrong.append((f"{where}: {why}", exit_code_of(why)))
    for message, _ in wrong:
        for line in message.splitlines():
            note(line)
    if wrong:
        yield CommandResult(None, code=max(code for _, code in wrong))


async def _submit(
    client: Client, asked: JdlSubmission, read: "JdlFile", drafts: "list[Draft]"
) -> Answers:
    from ...client.jdl import complete_all

    jobs = await complete_all(client, drafts)
    with bar("submitting", len(jobs), shown=len(jobs) > STREAM_ABOVE) as move:
        handle = await client.submit(
            jobs,
            name=read.label,
            group=asked.group,
            running_max=asked.running_max,
            progress=move,
        )
    ids = list(handle.ids())
    add_ids(asked.ids_file, ids)
    is_one = len(ids) == 1 and not read.is_parametric
    yield CommandResult(ids, f"JobID = {ids[0] if is_one else ids}")
    await warn_of_unknown(client, [jobs[0]])
    if asked.wait:
        again = f"pilotage wait --submission {handle.id}"
        with says_what_continues("the jobs continue", again):
            await wait_for(client, ids, handle.id, None)
        yield report_states(await handle.states(), ids, handle.id)


def _dry(read: "JdlFile", drafts: "list[Draft]") -> CommandResult:
    """Return the first and the last job in the form of job files."""
    shown = [_job_of(one) for one in (drafts[:1] if len(drafts) == 1 else [drafts[0], drafts[-1]])]

    def words(_: Any) -> None:
        for number, job in zip((1, len(drafts)), shown, strict=False):
            if len(drafts) > 1:
                print_line(f"# job {number} of {len(drafts)}")
            print_line(msgspec.yaml.encode(job).decode().rstrip())

    return CommandResult({"count": len(drafts), "group": read.label, "jobs": shown}, words)


def _job_of(draft: "Draft") -> dict[str, Any]:
    job: dict[str, Any] = msgspec.to_builtins(draft.job)
    if draft.files:
        job["inputs"] = [*job.get("inputs", ()), *(str(one.path) for one in draft.files)]
    return job


async def as_jdl(client: Client, job_id: int) -> CommandResult:
    """Return a job as JDL. Reading that again gives the same job."""
    from ...workflows.jdl.writing import jdl_of

    found, context = await client.detail(job_id), await client.jdl_context()
    if found.job is None:
        raise UsageError(f"job {job_id} cannot be shown as JDL: {found.unreadable}")
    text = jdl_of(found.job, context, label="" if found.task else found.submission_name)
    return CommandResult({"jdl": text}, text.rstrip())
