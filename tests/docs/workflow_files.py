"""The page on workflow files: all keys of our own form, and of files with element types."""

from collections.abc import Iterator

from pilotage.central.workflows.cta_form import ElementType, KeyRule, TypeOutput, TypesFile
from pilotage.proto.documents.transformation import Grouping
from pilotage.proto.documents.workflow import Parameter, Step, StepInput, StepOutput, Workflow

from . import structs

OURS: tuple[type, ...] = (Workflow, Parameter, Step, StepInput, Grouping, StepOutput)
TYPES: tuple[type, ...] = (TypesFile, ElementType, KeyRule, TypeOutput)
# What the form in YAML writes in another way than the model holds it.
WRITTEN = {
    "| `name` | text, 1–64 characters | **required** |": "| `workflow` | text, 1–64 characters"
    " | **required** | its name",
    "list of [Source](#source)": "text `STEP.OUTPUT`, or a list of such",
}


def sections() -> Iterator[str]:
    """Yield the page below its first words."""
    for struct in OURS:
        yield _section("##", struct)
    yield (
        "## Files with element types\n\nWhat `--types` takes, for files in the form of CTADIRAC. "
        "Ours is `central/workflows/cta_types.yaml`.\n"
    )
    for struct in TYPES:
        yield _section("###", struct)


def _section(level: str, struct: type) -> str:
    fields = structs.table(struct)
    for held, written in WRITTEN.items():
        fields = fields.replace(held, written)
    return f"{level} {struct.__name__}\n\n{structs.description(struct)}\n\n{fields}"
