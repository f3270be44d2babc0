"""`pilotage prod …`: workflow files, checked, planned, drawn and run on this machine."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter
from cyclopts.validators import Number

from .exit_codes import Exit, UsageError
from .present import note, number, print_json, print_line, print_table, watched

if TYPE_CHECKING:
    from ..workflows.flow import Counts, File
    from ..workflows.local import Outcome, Place
    from ..workflows.plan import Plan
    from ..workflows.written import Written

app = App(name="prod", help="Check, plan, draw and run workflow files.")

SetOption = Annotated[
    tuple[str, ...], Parameter(name="--set", help="NAME=VALUE: a parameter of the workflow.")
]
TypesOption = Annotated[
    tuple[Path, ...],
    Parameter(
        help="File or folder with element types of CTADIRAC's form, over our own; else"
        " PILOTAGE_ELEMENT_TYPES.",
        env_var="PILOTAGE_ELEMENT_TYPES",
    ),
]
JsonOption = Annotated[bool, Parameter(help="Print JSON for programs.")]
SAID_MAX = 10  # failed tasks of which all is told


@app.command
def submit(
    file: Path,
    /,
    *,
    local: Annotated[bool, Parameter(help="Run it on this machine, without a central.")] = False,
    dry_run: Annotated[
        bool, Parameter(help="Say how many jobs and files there would be, and run nothing.")
    ] = False,
    chosen: SetOption = (),
    inputs: Annotated[
        Path | None,
        Parameter(help="Folder with files of the catalogue, NAME.meta.json beside each."),
    ] = None,
    folder: Annotated[
        Path | None, Parameter(help="Empty folder for the run; else NAME.run, beside here.")
    ] = None,
    cores: Annotated[
        int | None, Parameter(help="How many are used; else all.", validator=Number(gte=1))
    ] = None,
    resume: Annotated[
        bool, Parameter(help="Go on in the folder of an earlier run; what is done there stays.")
    ] = False,
    types: TypesOption = (),
    json: JsonOption = False,
) -> int:
    """Run a workflow file: our own form, or that of CTADIRAC.

    With --local each task is a process on this machine, in a folder of its own, and run.json in the
    folder of the run tells which file was made of which. Ctrl-C ends all of them. With --resume
    only what was not done, or what has changed since, is run: a step of the file, a program of it,
    a file that it takes, or a version under `software`.
    """
    if local is dry_run:
        raise UsageError("say --local or --dry-run: on pilots, a workflow cannot run yet")
    written = _read(file, chosen, types)
    catalogue = _catalogue(inputs)
    if dry_run:
        from ..workflows.plan import plan

        _print_plan(written, plan(written.workflow, catalogue), json=json)
        return Exit.OK
    _need_catalogue(written, catalogue)
    from ..workflows.local import Place

    where = folder or Path(f"{written.workflow.name}.run")
    place = Place(
        where.absolute(), written.text.folder, cores or os.cpu_count() or 1, dict(os.environ)
    )
    outcome = _run(written, place, catalogue or [], resume=resume)
    _print_outcome(outcome, where, json=json)
    return Exit.OK if outcome.complete else Exit.FAILED


@app.command
def check(file: Path, /, *, chosen: SetOption = (), types: TypesOption = ()) -> int:
    """Check a workflow file: all that is wrong, with lines and what would be right."""
    written = _read(file, chosen, types)
    workflow = written.workflow
    print_line(f"{workflow.name}: {_steps(len(workflow.steps))}, nothing is wrong")
    return Exit.OK


@app.command
def graph(
    file: Path,
    /,
    *,
    svg: Annotated[Path | None, Parameter(help="Write the graph to this file, as SVG.")] = None,
    run: Annotated[
        Path | None, Parameter(help="Folder of a run on this machine: how far it came.")
    ] = None,
    chosen: SetOption = (),
    types: TypesOption = (),
) -> int:
    """Draw which step feeds which, each below the last of its parents."""
    from ..workflows import draw

    workflow = _read(file, chosen, types).workflow
    nodes = None if run is None else draw.of_counts(_counts(run, tuple(workflow.steps)))
    if svg is not None:
        try:
            svg.write_text(draw.as_svg(workflow, nodes), encoding="utf-8")
        except OSError as why:
            raise UsageError(f"{svg}: {why.strerror or why}") from None
        return Exit.OK
    print_line("\n".join(draw.as_text(workflow, nodes)))
    return Exit.OK


# -- reading -------------------------------------------------------------------------------------


def _read(file: Path, chosen: tuple[str, ...], types: tuple[Path, ...]) -> "Written":
    from ..workflows.files import read_workflow

    values: dict[str, str] = {}
    for word in chosen:
        name, sign, value = word.partition("=")
        if not sign:
            raise UsageError(f"--set {word}: expected NAME=VALUE")
        values[name] = value
    with _told():
        return read_workflow(file, values, types=types)


@contextlib.contextmanager
def _told() -> Generator[None]:
    """Tell what is wrong with a workflow as what is wrong with the command."""
    from ..workflows.errors import WorkflowError

    try:
        yield
    except WorkflowError as why:
        raise UsageError(str(why)) from None


def _catalogue(inputs: Path | None) -> "list[File] | None":
    from ..workflows.files import files_in

    if inputs is None:
        return None
    with _told():
        return files_in(inputs)


def _need_catalogue(written: "Written", catalogue: "list[File] | None") -> None:
    from ..workflows.flow import matching

    for name, step in written.workflow.steps.items():
        for port, given in step.inputs.items():
            if not given.is_catalogue:
                continue
            if catalogue is None:
                raise UsageError(
                    f"step {name}: inputs.{port} takes files of the catalogue: on this machine "
                    "--inputs FOLDER says where they lie"
                )
            if not matching(given, catalogue):
                note(f"step {name}: no file in the folder is what inputs.{port} asks for")


def _counts(folder: Path, steps: tuple[str, ...]) -> "Mapping[str, Counts]":
    import msgspec

    from ..workflows.flow import Counts
    from ..workflows.local import RECORD, Record

    try:
        record = msgspec.json.decode((folder / RECORD).read_bytes(), type=Record)
    except OSError as why:
        raise UsageError(f"{folder / RECORD}: {why.strerror or why}") from None
    except msgspec.DecodeError as why:
        raise UsageError(f"{folder / RECORD}: is no record of a run: {why}") from None
    if set(record.steps) != set(steps):
        raise UsageError(f"{folder} is a run of another workflow: {record.workflow}")
    return {
        name: Counts(one.made, one.done, one.failed, one.skipped, one.made)
        for name, one in record.steps.items()
    }


# -- running -------------------------------------------------------------------------------------


def _run(written: "Written", place: "Place", catalogue: "list[File]", *, resume: bool) -> "Outcome":
    from ..workflows.done import claimed
    from ..workflows.local import run

    async def within() -> "Outcome":
        this = asyncio.current_task()
        assert this is not None
        loop = asyncio.get_running_loop()
        for sign in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(sign, this.cancel)
        return await run(written.workflow, place, catalogue, progress=_progress())

    try:
        with _told(), claimed(place.folder, written.workflow.name, resume=resume):
            return asyncio.run(within())
    except asyncio.CancelledError:
        note(f"stopped: nothing of it runs any more; what was made lies in {place.folder}")
        raise KeyboardInterrupt from None


def _progress() -> "Callable[[Mapping[str, Counts]], None]":
    """Return what shows a person on a terminal how far it is, on one line."""
    if not watched():
        return lambda counts: None

    def show(counts: "Mapping[str, Counts]") -> None:
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


# -- printing ------------------------------------------------------------------------------------


def _print_plan(written: "Written", found: "Plan", *, json: bool) -> None:
    from ..workflows.to_transformations import obstacles, to_transformations

    faults = obstacles(written.workflow)
    if json:
        documents: dict[str, Any] = {} if faults else to_transformations(written.workflow)
        print_json(
            {
                "steps": [
                    {
                        "step": one.step,
                        "tasks": one.tasks,
                        "inputs": one.inputs,
                        "outputs": one.outputs,
                        "files": one.names,
                    }
                    for one in found.steps
                ],
                "transformations": documents,
                "obstacles": [str(fault) for fault in faults],
            }
        )
        return
    rows = [
        (
            one.step,
            one.tasks,
            ", ".join(f"{amount} {port}" for port, amount in one.inputs.items()),
            ", ".join(f"{amount} {port}" for port, amount in one.outputs.items()),
        )
        for one in found.steps
    ]
    print_table(("step", "jobs#", "takes", "makes"), rows, empty="")
    for one in found.steps:
        for port, names in one.names.items():
            for name in names:
                print_line(f"{one.step}.{port}: {name}")
    print_line(f"{_steps(len(found.steps))}, {found.tasks} jobs, {found.files} files")
    if any(not one.tasks.exact for one in found.steps):
        print_line("≈ depends on what the jobs say of their files, ? on the catalogue")
    for line in written.told(faults).lines if faults else ():
        note(f"on pilots it could not run: {line}")


def _print_outcome(outcome: "Outcome", folder: Path, *, json: bool) -> None:
    if json:
        print_json(outcome.record)
    else:
        rows = [
            (name, one.done, one.failed, one.skipped, "starved" if name in outcome.starved else "")
            for name, one in outcome.counts.items()
        ]
        print_table(("step", "done#", "failed#", "skipped#", ""), rows, empty="")
    if outcome.reused:
        note(f"{number(outcome.reused)} tasks were done before")
    for (step, port), count in outcome.left.items():
        if step not in outcome.starved:
            note(f"step {step}: {number(count)} files of {port} came into no task")
    for failure in outcome.failures[:SAID_MAX]:
        note(f"step {failure.step}, task {failure.task} failed: {failure.reason}")
        if failure.said:
            note(failure.said)
    if len(outcome.failures) > SAID_MAX:
        note(f"and {len(outcome.failures) - SAID_MAX} more failed")
    if outcome.starved:
        note("not run to the end, because of that: " + ", ".join(outcome.starved))
    if not json:
        state = "complete" if outcome.complete else "not complete"
        files = number(len(outcome.record.files))
        print_line(f"{state}: {files} files in {folder}")


def _steps(count: int) -> str:
    return "1 step" if count == 1 else f"{number(count)} steps"
