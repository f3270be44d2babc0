"""Derives the state of a production from the states of its steps. Pure."""

from collections.abc import Sequence
from typing import Final

from pilotage.proto.production_states import ProductionEvent, ProductionState
from pilotage.proto.transformation_states import TransformationState

from .record import StepRow

P = ProductionState
S = TransformationState

# States of steps that will make nothing more.
OVER: Final = frozenset({S.COMPLETED, S.ARCHIVED, S.CLEANING, S.CLEANED})
# states of a step whose parents have completed
CLOSES: Final = frozenset({S.COMPLETING, S.COMPLETED})


def verdict(state: ProductionState, steps: Sequence[StepRow]) -> tuple[ProductionEvent, str] | None:
    """Return the event of a production that follows from its steps, and the reason; or None."""
    left = [one for one in steps if one.row.state not in OVER]
    if state is P.ACTIVE and not left:
        return ProductionEvent.ALL_COMPLETED, _reasons(steps)
    if state is P.COMPLETED and left:
        return ProductionEvent.MORE, f"step {left[0].step} has more work"
    if state is P.CLEANING and all(one.row.state is S.CLEANED for one in steps):
        return ProductionEvent.EMPTIED, ""
    return None


def _reasons(steps: Sequence[StepRow]) -> str:
    """Return the reasons of steps, such as inputs that were left."""
    return "; ".join(f"step {one.step}: {one.row.reason}" for one in steps if one.row.reason)[:500]


def revivals(steps: Sequence[StepRow]) -> list[StepRow]:
    """Return the closed steps whose parents work again: more files will come.

    A step that a user has closed stays closed.
    """
    works = {one.place for one in steps if one.row.state not in OVER}
    found: list[StepRow] = []
    for one in steps:  # parents come first
        fed = any(place in works for place in one.parents)
        if fed and one.row.state in CLOSES and not one.row.closing:
            found.append(one)
            works.add(one.place)
    return found


def below(steps: Sequence[StepRow], of: Sequence[StepRow]) -> list[StepRow]:
    """Return all steps below some steps, also indirectly, in order."""
    fed = {one.place for one in of}
    found: list[StepRow] = []
    for one in steps:
        if any(place in fed for place in one.parents):
            fed.add(one.place)
            found.append(one)
    mine = {one.place for one in of}
    return [one for one in found if one.place not in mine]
