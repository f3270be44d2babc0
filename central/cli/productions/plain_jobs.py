"""`pilotage prod submit --jobs`: the first steps of a workflow as ordinary jobs.

These steps take no files, or files of the catalogue. Other steps are left out, because they take
the outputs of steps.
"""

from typing import TYPE_CHECKING, Final

import msgspec

from pilotage.proto.documents.job import DataInput, Job, JobData
from pilotage.proto.documents.transformation import InputSpec, Transformation

from ..command_frame import Answers, CentralConnection, Client, CommandResult
from ..exit_codes import UsageError
from ..presentation import jobs_in_words, note
from .workflow_files import FromFile

if TYPE_CHECKING:
    from ...transformations.grouping import Group, WaitingInput

FILES_MAX: Final = 10_000  # for each input


async def submit_jobs(central: CentralConnection, flow: FromFile, *, dry_run: bool) -> Answers:
    """Submit the jobs of the steps that need no other step. Raises UsageError if there are none.

    With `dry_run` it only reads the catalogue, and counts the jobs.
    """
    from ...workflows.translation import to_transformations

    workflow = flow.production().workflow
    assert workflow is not None
    documents = to_transformations(workflow)
    alone = {name: doc for name, doc in documents.items() if not any(_parents(doc))}
    if not alone:
        raise UsageError("each step takes files of another step, so none can run alone")
    client = await central.client()
    made: dict[str, int] = {}  # submissions, or with `dry_run` how many jobs they would have
    for name, doc in alone.items():
        files = [flow.folder / path for path in workflow.steps[name].files]
        inputs = tuple(await client.upload(files)) if files and not dry_run else ()
        job = msgspec.structs.replace(doc.job, inputs=inputs)
        jobs = await _jobs(client, msgspec.structs.replace(doc, job=job))
        if not jobs:
            note(f"step {name}: no file of the catalogue meets its query")
            continue
        if dry_run:
            made[name], became = len(jobs), "not submitted"
        else:
            made[name] = (await client.submit(jobs, name=doc.name[:128])).id
            became = f"submission {made[name]}"
        yield CommandResult(None, f"step {name}: {jobs_in_words(len(jobs))}, {became}")
    left = [name for name in documents if name not in alone]
    yield CommandResult({"jobs" if dry_run else "submissions": made, "left": left})
    if left and not central.json:
        what = "would be" if dry_run else "were"
        note(f"{', '.join(left)} {what} left out: they take files of other steps")


def _parents(doc: Transformation) -> list[str]:
    return [one.from_ for one in doc.inputs if one.from_]


async def _jobs(client: Client, doc: Transformation) -> list[Job]:
    """Return the jobs of a step, as its transformation would make them now."""
    from ...transformations.grouping import GroupingSpec, common, grouped
    from ...transformations.groupings.rule_names import rule_of
    from ...transformations.groupings.side_inputs import SideInputs
    from ...transformations.task_jobs import Template

    template = Template(doc, "")
    if not doc.inputs:
        return [_bare(template.job(transformation_id=0, number=n + 1, metadata={}), doc)
                for n in range(doc.tasks)]  # fmt: skip
    files: list[WaitingInput] = []
    for number, spec in enumerate(doc.inputs):
        files += await _files(client, number, spec)
    plan = GroupingSpec(doc.grouping, doc.inputs)
    once = [one for one in files if doc.inputs[one.input_no].use == "once"]
    shared = [one for one in files if doc.inputs[one.input_no].use == "shared"]
    beside = SideInputs(doc.inputs, shared)
    made: list[Job] = []
    for group in grouped(rule_of(doc.grouping.rule), once, plan, now=0.0, closing=True):
        side = beside.of(group)
        if side is None:
            continue
        number = len(made) + 1
        try:
            job = template.job(transformation_id=0, number=number, metadata=common(group))
        except LookupError as why:
            raise UsageError(f"{doc.name}: {why}") from None
        made.append(_bare(job, doc, (*group, *side)))
    return made


async def _files(client: Client, number: int, spec: InputSpec) -> "list[WaitingInput]":
    from ...transformations.grouping import WaitingInput

    found: list[WaitingInput] = []
    async for one in client.find_files(spec.query):
        found.append(WaitingInput(len(found), number, one.did, one.bytes, one.metadata, (), 0.0))
        if len(found) == spec.files_max:
            break
        if len(found) == FILES_MAX:
            note(f"{spec.name}: only the first {FILES_MAX} files are used")
            break
    return found


def _bare(job: Job, doc: Transformation, group: "Group" = ()) -> Job:
    """Return a job with its input files by name. Its outputs get no dataset of a transformation."""
    if job.data is None and not group:
        return job
    data = job.data or JobData()
    inputs = tuple(DataInput(did=one.did, to=doc.inputs[one.input_no].to) for one in group)
    return msgspec.structs.replace(job, data=msgspec.structs.replace(data, inputs=inputs))
