"""Failover rules of a workflow and its steps, as they are written, and as one text. Pure.

Here rules are plain values; central/failover reads them. Those of a step hold only for its tasks,
those of the workflow for all; the first one that fits wins.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from pilotage.proto.decoding.nearest_words import unknown
from pilotage.proto.decoding.strict_yaml import YamlPath
from pilotage.proto.documents.workflow import Workflow

from .errors import BadWorkflow, Fault
from .source_lines import SourceText, check_words, is_list, is_mapping, load_values, read_text

FAILURES: Final = "failures"
KINDS: Final = (FAILURES, "transformations")  # kinds of rules that a step can have
ALL_KINDS: Final = ("budgets", *KINDS, "recovery")
NAME_MAX: Final = 160  # characters of the name of a rule


def as_set(
    text: SourceText, said: Any, place: YamlPath, *, step: str = ""
) -> tuple[dict[str, Any], SourceText | None]:
    """Return rules as a mapping; they may be a mapping, a list of rules, or the name of a file.

    The text of that file is returned too, if there is one. Raises BadWorkflow.
    """
    beside: SourceText | None = None
    if isinstance(said, str):
        try:
            text = beside = read_text(text.folder / said)
            said, place = load_values(text), ()
        except BadWorkflow as why:
            raise text.wrong(place, why.lines[0], step=step) from None
    if is_list(said):
        return {FAILURES: said}, beside
    if not is_mapping(said):
        message = "expected a list of rules, a mapping with `failures` and others, or a file name"
        raise text.wrong(place, message, step=step)
    check_words(text, said, KINDS if step else ALL_KINDS, place, step=step)
    return said, beside


def rules_text(workflow: Workflow) -> str:
    """Return all rules of a workflow as one text for failover; empty: it has none."""
    kinds: dict[str, list[Any]] = {kind: [] for kind in (*KINDS, "recovery")}
    for name, step in workflow.steps.items():
        for kind in KINDS:
            kinds[kind] += [_of_step(rule, name) for rule in _listed(step.failure_rules, kind)]
    for kind, rules in kinds.items():
        rules += _listed(workflow.failure_rules, kind)
    found: dict[str, Any] = {kind: rules for kind, rules in kinds.items() if rules}
    if workflow.failure_rules.get("budgets"):
        found["budgets"] = workflow.failure_rules["budgets"]
    return msgspec.json.format(msgspec.json.encode(found)).decode() if found else ""


def faults(workflow: Workflow) -> Iterator[Fault]:
    """Yield rules that are not lists of mappings, or of an unknown kind."""
    said: list[tuple[str, dict[str, Any], tuple[str, ...]]]
    said = [("", workflow.failure_rules, ALL_KINDS)]
    said += [(name, step.failure_rules, KINDS) for name, step in workflow.steps.items()]
    for step, rules, known in said:
        for kind, each in rules.items():
            place = ("failure_rules", kind)
            if kind not in known:
                yield Fault(step, place, unknown(kind, known, what="kind of rules"))
            elif kind != "budgets" and not (is_list(each) and all(map(is_mapping, each))):
                yield Fault(step, place, "expected a list of rules")


def _listed(rules: Mapping[str, Any], kind: str) -> list[Any]:
    found = rules.get(kind)
    return found if is_list(found) else []


def _of_step(rule: Any, step: str) -> Any:
    """Return a rule limited to one step; its new name cannot replace other rules."""
    if not is_mapping(rule):
        return rule
    name = f"{rule.get('name', '')}"
    when: Any = rule.get("when") or {}
    return {
        **rule,
        "name": f"{step}: {name}"[:NAME_MAX] if name else name,
        "when": {**when, "steps": [step]} if is_mapping(when) else when,
    }
