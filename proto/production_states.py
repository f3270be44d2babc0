"""The states of productions, as a table. Nothing else changes a state.

A production is what its steps are: it is Completed when all of their transformations are, and
Active again when one of them gets more work.
"""

import enum
from typing import Final

from .state_machine import IllegalTransition
from .transformation_states import TransformationState


class ProductionState(str, enum.Enum):
    """The state of a production. A mark beside the state shows that a step is stuck."""

    NEW = "New"  # stored with its transformations, not started
    ACTIVE = "Active"  # its steps make tasks
    PAUSED = "Paused"  # by a person: inputs gather, no step makes a task
    STOPPED = "Stopped"  # neither inputs nor tasks come; what runs ends
    COMPLETED = "Completed"  # no step has anything left to do
    ARCHIVED = "Archived"  # kept to be looked at
    CLEANING = "Cleaning"  # its jobs are killed, the files that it made are removed
    CLEANED = "Cleaned"


class ProductionEvent(str, enum.Enum):
    """What happens to a production."""

    START = "started"
    PAUSE = "paused"
    RESUME = "resumed"
    STOP = "stopped"
    ALL_COMPLETED = "completed"  # the last of its steps
    MORE = "given more work"  # a step was extended, or files are tried again
    ARCHIVE = "archived"
    CLEAN = "cleaned"
    EMPTIED = "emptied"  # none of its jobs lives, none of its files is in the catalogue


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
# What is watched: the others move only when a person says so.
LIVE: Final = (_S.NEW, _S.ACTIVE, _S.PAUSED, _S.STOPPED, _S.COMPLETED, _S.CLEANING)
NAMED: Final = tuple(one for one in _S if one not in (_S.ARCHIVED, _S.CLEANED))  # keep their name

# Productions that stand as a step in this state does, or are put away: it waits for no one else.
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
