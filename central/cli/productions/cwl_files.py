"""CWL documents for `pilotage prod`. The CWL library is loaded only here."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from msgspec.structs import replace

from pilotage.proto.documents.workflow import Workflow

from ...client.errors import Refused
from ..command_frame import CentralConnection, Client, CommandResult, reads, run_command
from ..exit_codes import ExitCode, UsageError
from ..options import CHANGING_S, CommonOptions
from ..presentation import note, print_json, print_line
from .plans import NO_REUSE, reuse_in_words
from .status_texts import SUCCESS
from .submit_options import FOR_PRODUCTION, LocalOptions, ProductionFields
from .views import NamedArgument
from .workflow_files import steps_in_words

if TYPE_CHECKING:
    from cwltool.process import Process

    from ...cwl.sending import Described
    from ...cwl.transformations import Built
    from ...workflows.draw import DrawnStep

RESULTS = ".results"  # in the folder of a run on this machine
_TEXT_MAX = 1_000_000  # characters of the file that a production keeps for display


def is_cwl(file: Path) -> bool:
    """Return whether a file looks like CWL: by its ending, or by its `cwlVersion`."""
    if file.suffix == ".cwl" or "#" in file.name:
        return True
    try:
        with file.open(encoding="utf-8") as stream:
            return "cwlVersion" in stream.read(4_096)
    except (OSError, UnicodeDecodeError):
        return False


def check_extra() -> None:
    """Raise UsageError if the CWL library is not installed."""
    from importlib.util import find_spec

    if find_spec("cwltool") is None:
        raise UsageError("CWL needs more packages: pip install '.[cwl]' in a clone")


def workflow_of(file: Path) -> Workflow:
    """Return a workflow that shows the tools of a document. Raises UsageError for mistakes."""
    check_extra()
    from ...cwl.loaded import BadDocument, load
    from ...cwl.shapes import shapes
    from ...cwl.transformations import has_transformations
    from ...productions.cwl_steps import shown_steps

    try:
        process, warnings = load(file)
    except BadDocument as why:
        raise UsageError(str(why)) from None
    for one in warnings:
        note(one)
    if has_transformations(process):
        return _built(file, process).workflow
    return shown_steps(file.stem, "", {one.name: one.parents for one in shapes(process)})


def _built(file: Path, given: "Process | Described") -> "Built":
    """Return the production of a document with transformations. Raises UsageError."""
    from ...cwl.hints import HintMistake
    from ...cwl.loaded import load_again
    from ...cwl.sending import Described
    from ...cwl.transformations import built
    from ...workflows.check import check
    from ...workflows.translation import obstacles

    try:
        if isinstance(given, Described):
            process = load_again(given)
            made = built(process, file.stem, inputs=given.inputs, files=given.files)
        else:
            made = built(given, file.stem)
    except HintMistake as why:
        raise UsageError(str(why)) from None
    faults = check(made.workflow) or obstacles(made.workflow)
    if faults:
        raise UsageError("\n".join(f"{file}: {fault}" for fault in faults))
    return made


def submit(
    file: Path,
    inputs: Path | None,
    fields: ProductionFields,
    *,
    dry_run: bool,
    common: CommonOptions,
) -> int:
    """Run a document on pilots as a production; `fields` are those of the request."""
    found = _described(file, inputs)
    text = file.read_text(encoding="utf-8")[:_TEXT_MAX]
    production = _built(file, found) if found.has_transformations else None
    if dry_run:
        workflow = workflow_of(file)
        print_line(
            f"{file}: {steps_in_words(len(workflow.steps))}, input files: {len(found.files)}"
        )
        if not fields["reuse"]:
            print_line(NO_REUSE)
        elif production is not None:
            print_line(reuse_in_words(workflow, FOR_PRODUCTION))
        else:
            print_line("reuse: tools take the results of equal earlier tools, if there are any")
        return ExitCode.OK

    async def work(central: CentralConnection) -> CommandResult:
        from ..cwl.pilot_runs import document_of, request_of, with_files
        from .commands import print_made

        client = await central.client()
        if production is not None:
            body = await with_files(client, production, file=file.name, text=text)
        else:
            document = await document_of(client, found)
            body = request_of(document, file=file.name, text=text)
        body = replace(body, **fields)
        try:
            made = await client.add_production(body)
        except Refused as why:
            raise type(why)(why.code, f"{file}: {why.message}", "", why.status) from None
        return CommandResult(made, print_made)

    return run_command(common, work, patience_s=CHANGING_S)


def _described(file: Path, inputs: Path | None) -> "Described":
    check_extra()
    from ...cwl.loaded import BadDocument, load_with_inputs

    try:
        found = load_with_inputs(file, inputs)
    except BadDocument as why:
        raise UsageError(str(why)) from None
    for one in found.warnings:
        note(one)
    return found


def run_here(file: Path, inputs: Path | None, options: LocalOptions) -> int:
    """Run a document on this machine; the outputs come into a folder.

    Results of tools stay in this folder; with `resume` the run takes those of earlier runs.
    """
    check_extra()
    from ...cwl.loaded import told_of
    from ..cwl.runner import main

    if wrong := told_of(file):
        raise UsageError(wrong)
    where = options.folder or Path(f"{file.stem}.run")
    if not options.resume and where.is_dir() and any(where.iterdir()):
        raise UsageError(f"{where} is not empty: give another folder, or continue with --resume")
    words = ["--local", f"--outdir={where}", "--quiet", str(file)]
    words += [str(inputs)] if inputs is not None else []
    words += [f"--cachedir={where / RESULTS}", *([] if options.resume else ["--no-reuse"])]
    code = main([*words, *([f"--cores={options.cores}"] if options.cores else [])])
    has_run = _tell_steps(where)
    if code == 0:
        note(f"the output files are in {where}")
    elif has_run:
        note("to continue: the same command with --resume; tools that are done are kept")
    return ExitCode.OK if code == 0 else ExitCode.FAILED


def _tell_steps(folder: Path) -> bool:
    """Report how many tools of each step have run; return whether any has begun."""
    from ...cwl.local_progress import read_record

    try:
        found = read_record(folder / RESULTS)
    except (OSError, ValueError):
        return False
    for name, one in found.items():
        counts = [(one[what], what) for what in ("failed", "reused") if one[what]]
        words = [f"{count} {what}" for count, what in ((one["done"], "done"), *counts)]
        if one["made"]:
            note(f"step {name}: {', '.join(words)}")
    return any(one["made"] for one in found.values())


def nodes_of_run(folder: Path, workflow: Workflow) -> "Mapping[str, DrawnStep]":
    """Return how to draw the steps of a run on this machine. Raises UsageError."""
    from ...cwl.local_progress import RECORD, read_record
    from ...workflows.draw import of_counts
    from ...workflows.flow import StepCounts

    file = folder / RESULTS / RECORD
    try:
        found = read_record(folder / RESULTS)
    except OSError as why:
        raise UsageError(f"{file}: {why.strerror or why}") from None
    except ValueError as why:
        raise UsageError(f"{file} is not the record of a run: {why}") from None
    if set(found) != set(workflow.steps):
        raise UsageError(f"{folder} is a run of another document: its steps are {', '.join(found)}")
    counts = {
        name: StepCounts(one["made"], one["done"], one["failed"], 0, one["made"])
        for name, one in found.items()
    }
    return of_counts(counts)


@reads
async def output(
    client: Client,
    named: NamedArgument,
    /,
    *,
    to: Annotated[Path | None, Parameter(help="Fetch the files into this folder.")] = None,
) -> CommandResult:
    """Print the outputs of a CWL document as JSON, and fetch their files.

    The exit code is 1 if the run has failed, or has not ended.
    """
    end = await client.production_outputs(named)
    outputs = end.outputs if to is None else await client.download_production(named, to)
    if not end.status:
        note(f"the run of {named} has not ended: wait with `pilotage prod wait {named}`")
    elif end.status != SUCCESS:
        note(f"the run of {named} has failed: {end.why or end.status}")
    code = ExitCode.OK if end.status == SUCCESS else ExitCode.FAILED
    return CommandResult(outputs, print_json, code)
