"""Checks the failover rules of a production before it is stored. Pure."""

from pilotage.proto.documents.workflow import Workflow
from pilotage.proto.problems import Code

from ..errors import Refused
from ..workflows.failover_rules import rules_text
from .rules import BadRules, default_rules, read_rules
from .workflow_rules import faults_of_rules


def rules_for(workflow: Workflow, text: str) -> str:
    """Return the rules of a production: the given ones, else those of its workflow; often none.

    Raises Refused with the faults.
    """
    faults = faults_of_rules(workflow)
    if faults:
        lines = "\n".join(str(fault) for fault in faults)
        raise Refused(Code.INVALID, lines, field="workflow.failure_rules")
    of_workflow = rules_text(workflow)
    if not text:
        return of_workflow
    if of_workflow:
        why = "rules: the workflow has failure_rules already; submit without rules"
        raise Refused(Code.INVALID, why, field="rules")
    try:
        read_rules(text, "rules", base=default_rules(), workflow_steps=workflow.steps)
    except BadRules as why:
        raise Refused(Code.INVALID, str(why), field="rules") from None
    return text
