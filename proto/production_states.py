"""The states of productions, as a table. Only this table changes a state.

The state of a production follows from its steps. It is Completed when all of their transformations
are, and Active again when one of them gets more work.
"""

import enum
from typing import Final

from .state_machine import IllegalTransition
from .transformation_states import TransformationState


class ProductionState(str, enum.Enum):
    """The state of a production. A mark beside the state shows that a step is stuck."""

    NEW = "New"  # stored with its transformations, not started
    ACTIVE = "Active"  # its steps make tasks
    PAUSED = "Paused"  # by a person: new inputs wait, no step makes a task
    STOPPED = "Stopped"  # no inputs and no tasks are added; running jobs finish
    COMPLETED = "Completed"  # no step has work left
    ARCHIVED = "Archived"  # kept for reference
    CLEANING = "Cleaning"  # its jobs are killed, and the files that it made are removed
    CLEANED = "Cleaned"


class ProductionEvent(str, enum.Enum):
    """An event that can change the state of a production."""

    START = "started"
    PAUSE = "paused"
    RESUME = "resumed"
    STOP = "stopped"
    ALL_COMPLETED = "completed"  # the last step has completed
    MORE = "given more work"  # a step was extended, or files are retried
    ARCHIVE = "archived"
    CLEAN = "cleaned"
    EMPTIED = "emptied"  # none of its jobs lives, and none of its files is in the catalogue


_S = ProductionState
_E = ProductionEvent
_KEPT = tuple(one for one in _S if one not in (_S.CLEANING, _S.CLEANED))

PRODUCTIONS: Final[dict[tuple[ProductionState, ProductionEvent], ProductionState]] = {
    (_S.NEW, _E.START): _S.ACTIVE,
    (_S.NEW, _E.MORE): _S.NEW,
    (_S.ACTIVE, _E.PAUSE): _S.PAUSED,
    (_S.ACTIVE, _E.STOP): _S.STOPPED,
    (_S.ACTIVE, _E.MORE): _S.ACTIVE,
    (_S.ACTIVE, _E.ALL_COMPLETED): _S.COMPLETED,
    (_S.PAUSED, _E.RESUME): _S.ACTIVE,
    (_S.PAUSED, _E.STOP): _S.STOPPED,
    (_S.PAUSED, _E.MORE): _S.PAUSED,
    (_S.STOPPED, _E.RESUME): _S.ACTIVE,
    (_S.STOPPED, _E.MORE): _S.STOPPED,
    (_S.STOPPED, _E.ARCHIVE): _S.ARCHIVED,
    (_S.COMPLETED, _E.MORE): _S.ACTIVE,
    (_S.COMPLETED, _E.ARCHIVE): _S.ARCHIVED,
    **{(state, _E.CLEAN): _S.CLEANING for state in _KEPT},
    (_S.CLEANING, _E.EMPTIED): _S.CLEANED,
}

START: Final = ProductionState.NEW
FINAL: Final = frozenset({_S.CLEANED})
# The states that the central watches. Only a person moves a production out of the others.
LIVE: Final = (_S.NEW, _S.ACTIVE, _S.PAUSED, _S.STOPPED, _S.COMPLETED, _S.CLEANING)
# States that keep the name taken.
NAMED: Final = tuple(one for one in _S if one not in (_S.ARCHIVED, _S.CLEANED))

# States of productions that are put away: their steps wait for nobody.
_AWAY: Final = (_S.ARCHIVED, _S.CLEANING, _S.CLEANED)
_WITH: Final = {
    TransformationState.PAUSED: (_S.PAUSED, *_AWAY),
    TransformationState.STOPPED: (_S.STOPPED, *_AWAY),
}


def stands_alone(step: TransformationState, production: ProductionState) -> bool:
    """Return whether a step is paused or stopped while its production is not."""
    return step in _WITH and production not in _WITH[step]


def next_production(state: ProductionState, event: ProductionEvent) -> ProductionState:
    """Return the state that `event` leads to, or raise IllegalTransition."""
    try:
        return PRODUCTIONS[state, event]
    except KeyError:
        raise IllegalTransition("production", state.value, event.value) from None
