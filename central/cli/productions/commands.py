"""`pilotage prod …`: run workflows, on pilots as productions or on this machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from ...client.errors import NoCentral, Unreachable
from ..command_frame import CentralConnection, CommandResult, run_command
from ..exit_codes import ExitCode, UsageError
from ..options import CHANGING_S, COMMON, READING_S, CommonOptions
from ..presentation import note, print_line
from . import cwl_files, steering, views
from .plans import planned, previewed, reuse_in_words, tell_obstacles
from .status_texts import next_command, state_in_words
from .submit_options import FOR_PRODUCTION, HERE, LocalOptions, ProductionOptions
from .workflow_files import (
    FromFile,
    SetOption,
    TypesOption,
    allowing,
    catalogue_in,
    need_catalogue,
    read_file,
    read_rules_for,
    steps_in_words,
    with_lines,
)

if TYPE_CHECKING:
    from pilotage.proto.api.productions import ProductionDetail

    from ...workflows.flow import WorkflowFile
    from ...workflows.source_lines import WorkflowSource

app = App(name="prod", help="Run workflows: on pilots as productions, or on this machine.")

InputsArgument = Annotated[Path | None, Parameter(help="File with the inputs of a CWL document.")]
PartialOption = Annotated[
    str | None,
    Parameter(
        help="Share of inputs that may be missing, as 5% or 0.05 (default: from the file, else 0%)."
    ),
]
CWL_OPTIONS = (
    "a CWL document takes only --local, --dry-run, --name, --no-start, --no-reuse, --correct, "
    "--priority, --folder, --cores and --resume"
)


@app.command
def submit(
    file: Path,
    job: InputsArgument = None,
    /,
    *,
    local: Annotated[bool, Parameter(help="Run on this machine, without a central.")] = False,
    jobs: Annotated[bool, Parameter(help="Submit ordinary jobs, without a production.")] = False,
    dry_run: Annotated[bool, Parameter(help="Count the jobs and files, and run nothing.")] = False,
    given: ProductionOptions = FOR_PRODUCTION,
    chosen: SetOption = (),
    here: LocalOptions = HERE,
    types: TypesOption = (),
    allow_partial: PartialOption = None,
    common: CommonOptions = COMMON,
) -> int:
    """Run a workflow file as a production on pilots. The form is that of pilotage, CTADIRAC or CWL.

    The same file again changes nothing. With --dry-run the command only counts jobs and files; it
    includes the files of the catalogue if a central answers.

    With --local each task is a process on this machine, in a folder of its own. Ctrl-C ends all
    tasks. run.json records the input files of each output. With --resume only missing and outdated
    tasks run: those whose step, program, input or `software` version has changed. --inputs,
    --folder, --cores and --resume need --local.

    After a mistake in the file or a program, correct it and add --correct. Changed steps and those
    after them run again, and their old files are removed; other steps keep their results. If the
    file was right, use `prod fix`.

    A CWL document takes its inputs from a second file, and `prod output` fetches its outputs.

    With --jobs the steps that need no other step become ordinary jobs, for a trial.
    """
    if local and (dry_run or jobs):
        raise UsageError(f"give either --local or {'--dry-run' if dry_run else '--jobs'}, not both")
    if not (local or dry_run) and here.given:
        raise UsageError("--inputs, --folder, --cores and --resume need --local")
    if (local or jobs) and given.given:
        which = "--local" if local else "--jobs"
        names = "--name, --rules, --priority, --no-start, --no-reuse and --correct"
        raise UsageError(f"{names} cannot be used with {which}")
    if cwl_files.is_cwl(file):
        if jobs or given.rules or chosen or here.inputs or types or allow_partial:
            raise UsageError(CWL_OPTIONS)
        if local:
            return cwl_files.run_here(file, job, here)
        return cwl_files.submit(file, job, given.fields, dry_run=dry_run, common=common)
    if job is not None:
        raise UsageError(f"{job}: only a CWL document takes a second file: use --set NAME=VALUE")
    written = read_file(file, chosen, types)
    if allow_partial is not None:
        written = allowing(written, allow_partial)
    if jobs:
        from .plain_jobs import submit_jobs

        return run_command(
            common,
            lambda central: submit_jobs(central, FromFile(written), dry_run=dry_run),
            patience_s=CHANGING_S,
        )
    flow = FromFile(written, read_rules_for(written, given.rules))
    if local or (dry_run and here.inputs is not None):
        catalogue = catalogue_in(here.inputs)
        if dry_run:
            return _plan_here(written, catalogue, common, given)
        need_catalogue(written, catalogue)
        from .local_runs import run_here

        return run_here(
            written,
            catalogue or [],
            here.folder,
            here.cores,
            resume=here.resume,
            json=common.json,
        )
    if dry_run:
        return _preview(flow, given, common)
    flow.production()  # raises for mistakes before anything is sent

    async def work(central: CentralConnection) -> CommandResult:
        client = await central.client()
        with with_lines(written):
            made = await client.submit_production(flow, **given.fields)
        return CommandResult(made, print_made)

    return run_command(common, work, patience_s=CHANGING_S)


def print_made(made: "ProductionDetail") -> None:
    view = made.view
    there = " exists already, and" if made.was_there else ""
    print_line(
        f"production {view.id}: {view.name}{there} is {state_in_words(view)}, "
        f"{steps_in_words(len(view.steps))}"
    )
    if not made.was_there:
        for said in made.did:
            print_line(said)
    if next_command(view):
        print_line(f"next: {next_command(view)}")


def _preview(flow: FromFile, given: ProductionOptions, common: CommonOptions) -> int:
    """Print the plan of a workflow at the central. If no central answers, print the local plan."""
    from .workflow_files import obstacles_of

    written = flow.written
    if obstacles_of(written):
        return _plan_here(written, None, common, given)

    async def work(central: CentralConnection) -> CommandResult:
        client = await central.client()
        with with_lines(written):
            return previewed(
                await client.preview_production(
                    flow, name=given.name, priority=given.priority, correct=given.correct
                ),
                reuse_in_words(written.workflow, given),
            )

    try:
        return run_command(common, work, patience_s=0.0)
    except (NoCentral, Unreachable) as why:
        if common.url or common.data:
            raise
        steps = written.workflow.steps.values()
        if any(one.is_catalogue for it in steps for one in it.inputs.values()):
            note(f"the plan omits the files of the catalogue: {why}")
        return _plan_here(written, None, common, given)


def _plan_here(
    written: "WorkflowSource",
    catalogue: "list[WorkflowFile] | None",
    common: CommonOptions,
    given: ProductionOptions,
) -> int:
    from ...workflows.plan import plan

    reuse = reuse_in_words(written.workflow, given)
    return planned(written, plan(written.workflow, catalogue), reuse).print(json=common.json)


@app.command
def check(file: Path, /, *, chosen: SetOption = (), types: TypesOption = ()) -> int:
    """Check a workflow file: show all mistakes with their lines and corrections.

    It also says why a workflow can run only on one machine.
    """
    if cwl_files.is_cwl(file):
        workflow = cwl_files.workflow_of(file)
        print_line(f"{file}: {steps_in_words(len(workflow.steps))}, no mistakes")
        return ExitCode.OK
    written = read_file(file, chosen, types)
    workflow = written.workflow
    print_line(f"{workflow.name}: {steps_in_words(len(workflow.steps))}, no mistakes")
    tell_obstacles(written)
    return ExitCode.OK


@app.command
def graph(
    what: Annotated[str, Parameter(help="A workflow file, or the id or name of a production.")],
    /,
    *,
    svg: Annotated[Path | None, Parameter(help="Write the graph to this file, as SVG.")] = None,
    run: Annotated[
        Path | None, Parameter(help="Folder of a local run, to show its progress.")
    ] = None,
    chosen: SetOption = (),
    types: TypesOption = (),
    common: CommonOptions = COMMON,
) -> int:
    """Draw the graph of the steps. Each step is below the last of its parents.

    For a production or a run it also shows the progress of each step, and why a step waits.
    """
    file = Path(what)
    if not file.is_file() and run is None and not chosen and not types and not file.suffix:
        return run_command(
            common,
            lambda central: views.draw_production(central, what, svg),
            patience_s=READING_S,
        )
    from ...workflows import draw
    from .local_runs import counts_of_run

    if cwl_files.is_cwl(file):
        shown = cwl_files.workflow_of(file)
        steps = None if run is None else cwl_files.nodes_of_run(run, shown)
        views.print_graph(shown, steps, svg)
        return ExitCode.OK
    workflow = read_file(file, chosen, types).workflow
    nodes = None if run is None else draw.of_counts(counts_of_run(run, tuple(workflow.steps)))
    views.print_graph(workflow, nodes, svg)
    return ExitCode.OK


for _command in (*views.COMMANDS, cwl_files.output, *steering.COMMANDS):
    app.command(_command)
app.command(views.list_them, name="list")
