"""The tools of a CWL document as the steps of a production. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pilotage.proto.documents.cwl import CwlDocument
from pilotage.proto.documents.job import Job
from pilotage.proto.documents.transformation import Transformation
from pilotage.proto.documents.workflow import Source, Step, StepInput, StepOutput, Workflow


@dataclass(frozen=True)
class CwlShape:
    """The tools of a document."""

    name: str
    title: str
    parents: Mapping[str, tuple[str, ...]]  # of each tool, those that feed it


COMMAND: Final = "cwl-tool"  # stands for the commands of the tools, which their run makes
OUT: Final = "out"


def steps_of(
    document: CwlDocument, name: str, title: str, parents: Mapping[str, tuple[str, ...]]
) -> Workflow:
    """Return a workflow that shows the tools of a document, each with the tools that feed it."""
    return shown_steps(name, title, parents, document.group)


def shown_steps(
    name: str, title: str, parents: Mapping[str, tuple[str, ...]], group: str = ""
) -> Workflow:
    """Return a workflow that shows tools, each with the tools that feed it."""
    return Workflow(
        name=name,
        title=title,
        steps={
            step: Step(
                job=Job(command=(COMMAND,), group=group),
                inputs={f"from_{i}": StepInput(sources=(Source(step=above, port=OUT),))
                        for i, above in enumerate(its)},
                outputs={OUT: StepOutput(value=f"{OUT}.json")},
            )
            for step, its in parents.items()
        },
    )  # fmt: skip


def cwl_documents(workflow: Workflow) -> dict[str, Transformation]:
    """Return the transformation of each step: the run makes its tasks."""
    return {
        name: Transformation(
            name=f"{workflow.name}-{name}", job=step.job, by_run=True, pause_when_failed=1.0
        )
        for name, step in workflow.steps.items()
    }
