"""CTADIRAC's form of workflows: `Common` and `ProdSteps`, with element types as data.

It is stricter than CTADIRAC: it refuses unknown keys, and a parent together with a dataset. Also,
the conditions of a step do not change the queries of other children of its parent.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pilotage.proto.catalogue import Value
from pilotage.proto.decoding.nearest_words import unknown
from pilotage.proto.decoding.strict_yaml import YamlPath
from pilotage.proto.documents.workflow import Source, Step, StepInput, Workflow

from .cta_steps import GivenStep, KnownValues, StepMaker, values_in, with_variants
from .cta_types import ElementType, TypesFile
from .cta_values import ValueReader
from .source_lines import (
    SourceText,
    WorkflowSource,
    check_words,
    converted,
    is_list,
    is_mapping,
)

STEPS: Final = "ProdSteps"
COMMON: Final = "Common"
_STEP: Final = ("ID", "name", "input_meta_query", "job_config")

_FIELDS: Final = {  # fields of the model, and their keys in this form
    "inputs": "input_meta_query",
    "grouping": "job_config",
    "job": "job_config",
    "metadata": "job_config",
    "outputs": "job_config",
}


def parse(text: SourceText, found: dict[str, Any], types: TypesFile) -> WorkflowSource:
    """Return the workflow in a text, read but not checked. Raises BadWorkflow."""
    return _Reader(text, found, types).read()


class _Reader:
    def __init__(self, text: SourceText, found: dict[str, Any], types: TypesFile) -> None:
        self._text, self._found, self._types = text, found, types
        self._values = ValueReader(text, types)
        # the case of types does not matter
        self._names = {name.lower(): name for name in types.types}
        self._steps: dict[str, Step] = {}
        self._by_id: dict[int, str] = {}
        self._known: dict[str, KnownValues] = {}  # metadata of the files of each step

    def read(self) -> WorkflowSource:
        check_words(self._text, self._found, (COMMON, STEPS), ())
        common: Any = self._found.get(COMMON) or {}
        if not is_mapping(common):
            raise self._text.wrong((COMMON,), "expected a mapping")
        of_steps = [self._types.generic, *(one.keys for one in self._types.types.values())]
        words = {key for rules in of_steps for key, rule in rules.items() if rule.kind != "derived"}
        check_words(self._text, common, (*self._types.common, *sorted(words)), (COMMON,))
        metadata, base = self._of_common(common)
        maker = StepMaker(self._text, self._values, base, metadata)
        shared = {key: value for key, value in common.items() if key not in self._types.common}
        places: dict[str, YamlPath] = {}
        for place, said in self._in_order():
            places[self._step(said, place, shared, maker)] = place
        name = _plain(Path(self._text.where).stem)
        bare = converted(
            self._text, {"name": name, "steps": {"x": {"job": {"command": ["x"]}}}}, Workflow, ()
        )
        workflow = Workflow(
            name=bare.name,
            metadata=metadata,
            keys=self._types.keys,
            steps=self._steps,
        )
        return WorkflowSource(workflow, self._text, places, _FIELDS)

    def _of_common(self, common: Mapping[str, Any]) -> tuple[dict[str, Value], str]:
        """Return the metadata of all files, and their folder."""
        metadata: dict[str, Value] = {}
        base = ""
        for key, value in self._values.config(common, self._types.common, (COMMON,), "").items():
            rule = self._types.common[key]
            if rule.metadata:
                metadata[rule.metadata] = self._values.metadata(rule, value, (COMMON, key))
            if rule.fills == "base_path":
                base = str(value).strip("/")
        return metadata, base

    def _in_order(self) -> list[tuple[YamlPath, dict[str, Any]]]:
        """Return the steps by ID, each with its place in the file."""
        given: Any = self._found[STEPS]
        if not is_list(given) or not given:
            raise self._text.wrong((STEPS,), "expected a list of steps")
        found: dict[int, tuple[YamlPath, dict[str, Any]]] = {}
        for i, said in enumerate(given):
            place = (STEPS, i)
            if not is_mapping(said):
                raise self._text.wrong(place, "expected a step: a mapping with ID and job_config")
            check_words(self._text, said, _STEP, place)
            number = said.get("ID")
            at = (*place, "ID")
            if not isinstance(number, int) or isinstance(number, bool) or number < 1:
                raise self._text.wrong(at, f"expected a number from 1 on, found {number!r}")
            if number in found:
                raise self._text.wrong(at, f"there are two steps with the ID {number}")
            found[number] = (place, said)
        return [found[number] for number in sorted(found)]

    # -- one step --------------------------------------------------------------------------------

    def _step(
        self, said: dict[str, Any], place: YamlPath, shared: Mapping[str, Any], maker: StepMaker
    ) -> str:
        number, given = said["ID"], said.get("job_config")
        if not is_mapping(given) or "type" not in given:
            raise self._text.wrong(place, "job_config with a `type` is missing")
        at = (*place, "job_config")
        kind = self._names.get(str(given["type"]).lower())
        if kind is None:
            why = unknown(str(given["type"]), self._types.types, what="type")
            raise self._text.wrong((*at, "type"), why)
        name = str(said.get("name") or f"Step{number}_{kind}")
        converted(self._text, {"step": name, "port": "x"}, Source, (*place, "name"))
        if name in self._steps:
            raise self._text.wrong((*place, "name"), f"there are two steps with the name {name}")
        element = self._types.types[kind]
        rules = {**self._types.generic, **element.keys}
        words = [key for key, rule in rules.items() if rule.kind != "derived"]
        check_words(self._text, given, ("type", *words), at, step=name)
        own = {k: value for k, value in given.items() if value is not None or k not in shared}
        config = self._values.config({**shared, **own}, rules, at, name)
        element = with_variants(element, config)
        query: Any = said.get("input_meta_query") or {}
        asked, parent, taken = self._input(
            query, (*place, "input_meta_query"), name, element, config
        )
        step, known = maker.make(GivenStep(element, rules, config, asked, bool(parent), taken, at))
        self._steps[name], self._known[name], self._by_id[number] = step, known, name
        return name

    def _input(
        self,
        query: Any,
        place: YamlPath,
        name: str,
        element: ElementType,
        config: Mapping[str, Any],
    ) -> tuple[StepInput | None, str, KnownValues]:
        """Return the port of a step, if it has one, its parent, and the metadata of its files."""
        if not is_mapping(query):
            raise self._text.wrong(place, "expected a mapping", step=name)
        said = {key: value for key, value in query.items() if value is not None}
        parent_id, dataset = said.pop("parentID", None), said.pop("dataset", None)
        if element.simulates:
            if said or parent_id is not None or dataset is not None:
                raise self._text.wrong(place, "this type takes no files", step=name)
            return None, "", {}
        conditions = self._values.conditions(said, place, name)
        known = values_in(conditions)
        files_max = int(config.get("input_limit") or 0)
        if parent_id is not None and dataset is not None:
            why = "either a parentID or a dataset, not both"
            raise self._text.wrong((*place, "dataset"), why, step=name)
        if parent_id is not None:
            parent = self._by_id.get(parent_id) if isinstance(parent_id, int) else None
            if parent is None:
                before = ", ".join(map(str, self._by_id)) or "none"
                why = f"expected the ID of a step before this one ({before}), found {parent_id!r}"
                raise self._text.wrong((*place, "parentID"), why, step=name)
            port = next(iter(self._steps[parent].outputs))
            source = Source(step=parent, port=port)
            asked = StepInput(sources=(source,), where=conditions, files_max=files_max)
            return asked, parent, {**self._known[parent], **known}
        if dataset is not None:
            full = str(dataset) if ":" in str(dataset) else f"{self._types.scope}:{dataset}"
            asked = StepInput(dataset=full, where=conditions, files_max=files_max)
            return asked, "", {**dict.fromkeys(element.inherits or (), ()), **known}
        if not conditions:
            why = "is empty: give a parentID, a dataset or metadata"
            raise self._text.wrong(place, why, step=name)
        return StepInput(query=conditions, files_max=files_max), "", known


def _plain(stem: str) -> str:
    """Return the name of a file in the form of a workflow's name."""
    return "".join(one if one.isascii() and (one.isalnum() or one in "_-") else "-" for one in stem)
