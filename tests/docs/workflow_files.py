"""The page on workflow files: all keys of our own form, and of files with element types."""

from collections.abc import Iterator, Mapping

from pilotage.central.workflows.cta_types import (
    ElementType,
    KeyRule,
    SharedFiles,
    TypeOutput,
    TypesFile,
    TypeVariant,
)
from pilotage.proto.documents.workflow import Parameter, Step, StepInput, StepOutput, Workflow

from . import structs

OURS: tuple[type, ...] = (Workflow, Parameter, Step, StepInput, StepOutput)
TYPES: tuple[type, ...] = (TypesFile, ElementType, KeyRule, TypeOutput, SharedFiles, TypeVariant)
# What the form in YAML writes in another way than the model holds it.
WRITTEN: Mapping[type, Mapping[str, structs.Field]] = {
    Workflow: {"name": structs.Field("workflow", "text", "", "name of the workflow", True)},
    StepInput: {
        "from": structs.Field(
            "from", "text `STEP.OUTPUT`, or a list of them", "", "outputs of earlier steps", False
        )
    },
}


def sections() -> Iterator[str]:
    """Yield the page below its first words."""
    for struct in OURS:
        yield _section("##", struct)
    yield (
        "## Files with element types\n\n`--types` takes these files, for workflows in the form of "
        "CTADIRAC. The built-in one is `central/workflows/cta_types.yaml`.\n"
    )
    for struct in TYPES:
        yield _section("###", struct)


def _section(level: str, struct: type) -> str:
    fields = structs.fields(struct, written=WRITTEN.get(struct, {}))
    return f"{level} {struct.__name__}\n\n{structs.description(struct)}\n\n{fields}"
