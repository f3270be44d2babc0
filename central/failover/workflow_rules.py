"""Reads and checks the failover rules of a workflow. Pure."""

from typing import Any, Final

import msgspec

from pilotage.proto.documents.workflow import Workflow

from ..workflows.errors import Fault
from ..workflows.failover_rules import rules_text
from .rules import BadRules, RuleSet, default_rules, read_rules

FAULTS_MAX: Final = 20


def rules_of(workflow: Workflow, *, base: RuleSet | None = None) -> RuleSet:
    """Return the rules for a workflow without faults; `base` are the rules that follow its own."""
    text = rules_text(workflow)
    before = base or default_rules()
    return read_rules(text, workflow.name, base=before) if text else before


def faults_of_rules(workflow: Workflow, *, base: RuleSet | None = None) -> list[Fault]:
    """Return the faults in the rules of a checked workflow, the first of each step.

    Only the first `FAULTS_MAX` faults are found: more would take long, and are of no use.
    """
    found: list[Fault] = []
    known = base or default_rules()

    def read(rules: dict[str, Any], step: str) -> RuleSet:
        steps = [step] if step else workflow.steps
        try:
            text = msgspec.json.encode(rules).decode()
            if not rules:
                return known
            return read_rules(text, workflow.name, base=known, workflow_steps=steps)
        except BadRules as why:
            found.append(Fault(step, ("failure_rules", *why.place), why.why))
            return known

    known = read(workflow.failure_rules, "")
    for name, step in workflow.steps.items():
        if len(found) < FAULTS_MAX:
            read(step.failure_rules, name)
    return found
