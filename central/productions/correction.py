"""Corrects a production: steps that differ get new transformations, the others stay.

The old steps move to a production of their own, which is cleaned. Those of a CWL document are only
archived, because the corrected run reuses their results.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from pilotage.proto.documents.transformation import Transformation
from pilotage.proto.problems import Code
from pilotage.proto.production_states import ProductionState
from pilotage.proto.transformation_states import TransformationState

from ..errors import Refused
from ..workflows import graph
from .cwl_steps import shown_steps
from .definition import Definition, documents, packed
from .record import Correction, NewProductionRow, NewStep, ProductionRow, StepRow

P = ProductionState
S = TransformationState
STATES: Final = {P.NEW: S.NEW, P.PAUSED: S.PAUSED, P.STOPPED: S.STOPPED}  # of new steps


def differing(
    old: Definition, new: Definition, name: str, docs: Mapping[str, Transformation]
) -> set[str]:
    """Return the steps of `new` that must run again: those that differ, and all below them.

    `docs` are the documents of the new steps. All steps of a CWL document must: their run decides
    what it reuses.
    """
    if new.cwl is not None or old.cwl is not None:
        return set(docs)
    before = documents(old, name)
    found = {step for step, doc in docs.items() if before.get(step) != doc}
    below = graph.children(new.workflow)
    left = list(found)
    while left:
        fresh = set(below[left.pop()]) - found
        found |= fresh
        left += fresh
    return found


def check_may_correct(row: ProductionRow, new: NewProductionRow, rules: str, reads: bool) -> None:
    """Raise Refused if `new` cannot replace the definition of a production."""
    if not reads or (row.group, row.owner_id) != (new.group, new.owner_id):
        why = f"name: {row.name!r} belongs to another user or group: only its owner can correct it"
        raise Refused(Code.FORBIDDEN, why, field="name")
    if row.state not in (P.NEW, P.ACTIVE, P.PAUSED, P.STOPPED, P.COMPLETED):
        why = f"correct: production {row.name} is {row.state.value}"
        raise Refused(Code.ILLEGAL_STATE, why, field="correct")
    if new.rules != rules:
        why = "rules: a correction cannot change failover rules: choose another name"
        raise Refused(Code.INVALID, why, field="rules")


def correction_of(
    row: ProductionRow,
    new: NewProductionRow,
    standing: Sequence[StepRow],
    steps: Sequence[NewStep],
) -> Correction:
    """Return the change in the store. `standing` are the old steps, and `steps` the new ones."""
    stays = {one.transformation_id for one in steps if one.transformation is None}
    replaced = [one for one in standing if one.row.transformation_id not in stays]
    gone = {one.step for one in replaced}
    places = {one.place: one.step for one in standing}
    shown = shown_steps(
        row.name,
        "",
        {
            one.step: tuple(places[place] for place in one.parents if places[place] in gone)
            for one in replaced
        },
        row.group,
    )
    definition, sha256 = packed(Definition(workflow=shown, is_replaced=True))
    state = P.ARCHIVED if new.is_cwl else P.CLEANING
    holder = msgspec.structs.replace(
        new,
        title=f"old steps of production {row.production_id}",
        state=state,
        definition=definition,
        sha256=sha256,
        rules="",
        rerun_of=None,
        is_cwl=False,
    )
    return Correction(
        production_id=row.production_id,
        old_sha256=row.sha256,
        old=row.state,
        state=P.ACTIVE if row.state is P.COMPLETED else row.state,
        new=new,
        steps=list(steps),
        replaced=[(one.step, one.row.transformation_id) for one in replaced],
        replaced_state=S.ARCHIVED if new.is_cwl else S.CLEANING,
        holder=holder,
    )


def said_of(change: Correction, holder: int) -> list[str]:
    """Return what a correction did, in words. `holder` is the production of the old steps."""
    if change.new.is_cwl:
        return ["the run begins again, and reuses the results whose commands and inputs are equal"]
    found = [
        f"step {one.step} stays" if one.transformation is None else f"step {one.step} runs again"
        for one in change.steps
    ]
    if holder:
        found.append(f"production {holder} has the old steps, and is cleaned")
    return found
