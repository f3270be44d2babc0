"""The plan of a workflow, for `pilotage prod submit --dry-run`: local, or from a central.

A central knows the files of the catalogue, and the names in use.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from pilotage.proto.api.productions import ProductionPreview, StepPreview
from pilotage.proto.documents.workflow import Workflow

from ..command_frame import CommandResult
from ..presentation import note, number, print_line, print_table
from .submit_options import ProductionOptions
from .workflow_files import obstacles_of, steps_in_words

if TYPE_CHECKING:
    from ...workflows.plan import WorkflowPlan
    from ...workflows.source_lines import WorkflowSource


NO_REUSE: Final = "reuse: off (--no-reuse), all tasks run"
_INEXACT: Final = "≈: depends on the metadata that the jobs write; ?: depends on the catalogue"


def reuse_in_words(workflow: Workflow, given: ProductionOptions) -> str:
    """Return whether the tasks of a workflow file would reuse results."""
    if given.no_reuse:
        return NO_REUSE
    steps = [name for name in workflow.steps if workflow.reuses(name)]
    if not steps:
        return "reuse: off (no `reuse: true`)"
    which = "all steps" if len(steps) == len(workflow.steps) else f"steps {', '.join(steps)}"
    return f"reuse: {which} take the results of equal earlier tasks, if there are any"


def planned(written: "WorkflowSource", found: "WorkflowPlan", reuse: str = "") -> CommandResult:
    """Return the local plan of a workflow; `reuse` is a line about reused results."""
    from ...workflows.translation import to_transformations

    faults = obstacles_of(written)
    steps = [
        {
            "step": one.step,
            "tasks": one.tasks,
            "inputs": one.inputs,
            "outputs": one.outputs,
            "files": one.names,
        }
        for one in found.steps
    ]
    value = {
        "steps": steps,
        "transformations": {} if faults else to_transformations(written.workflow),
        "obstacles": [str(fault) for fault in faults],
    }

    def words(_: object) -> None:
        _print_plan(written.workflow.name, found)
        if reuse:
            print_line(reuse)
        tell_obstacles(written)

    return CommandResult(value, words)


def _print_plan(name: str, found: "WorkflowPlan") -> None:
    rows = [(one.step, one.tasks, _ports(one.inputs), _ports(one.outputs)) for one in found.steps]
    print_table(("step", "jobs#", "takes", "makes"), rows, empty="")
    for one in found.steps:
        for port, names in one.names.items():
            for file in names:
                print_line(f"{one.step}.{port}: {file}")
    steps = steps_in_words(len(found.steps))
    print_line(f"{name}: {steps}, {found.tasks} jobs, {found.files} files")
    if any(not one.tasks.exact for one in found.steps):
        print_line(_INEXACT)


def tell_obstacles(written: "WorkflowSource") -> None:
    """Report why a correct workflow cannot run on pilots, if it cannot."""
    faults = obstacles_of(written)
    for line in written.told(faults).lines if faults else ():
        note(f"it cannot run on pilots: {line}")


def previewed(found: ProductionPreview, reuse: str) -> CommandResult:
    """Return the plan from a central, in the same form."""
    steps = [
        {
            "step": one.step,
            "tasks": _amount(one.tasks, one),
            "inputs": {
                port: _amount(count, one, is_exact=port not in one.more)
                for port, count in one.inputs.items()
            },
            "outputs": {port: _amount(count, one) for port, count in one.outputs.items()},
            "files": {},
        }
        for one in found.steps
    ]
    documents = {one.step: one.document for one in found.steps}
    value = {"steps": steps, "transformations": documents, "obstacles": []}
    return CommandResult(value, lambda _: _print_preview(found, reuse))


def _print_preview(found: ProductionPreview, reuse: str) -> None:
    rows = [
        (
            one.step,
            _count(one.tasks, is_exact=one.exact),
            _ports({port: _input(count, port, one) for port, count in one.inputs.items()}),
            _ports({p: _count(n, is_exact=one.exact) for p, n in one.outputs.items()}),
        )
        for one in found.steps
    ]
    print_table(("step", "jobs#", "takes", "makes"), rows, empty="")
    exact = all(one.exact for one in found.steps)
    whole = (
        f"{_count(found.tasks, is_exact=exact)} jobs, {_count(found.files, is_exact=exact)} files"
    )
    print_line(f"{found.name}: {steps_in_words(len(found.steps))}, {whole}")
    if not exact:
        print_line(_INEXACT)
    if any(one.more for one in found.steps):
        print_line("at least: the catalogue has more files than were counted")
    print_line(reuse)


def _ports(amounts: Mapping[str, object]) -> str:
    return ", ".join(f"{amount} {port}" for port, amount in amounts.items())


def _count(count: int | None, *, is_exact: bool = True) -> str:
    if count is None:
        return "?"
    return number(count) if is_exact else f"≈ {number(count)}"


def _input(count: int | None, port: str, step: StepPreview) -> str:
    if count is not None and port in step.more:
        return f"at least {number(count)}"
    return _count(count, is_exact=step.exact)


def _amount(count: int | None, step: StepPreview, *, is_exact: bool = True) -> dict[str, Any]:
    return {"count": count, "exact": step.exact and is_exact and count is not None}
