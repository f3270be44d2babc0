"""The states of a pilot, as a table. The drawing in `docs/pilot-states.md` is generated from it."""

import enum
from typing import Final

from .state_machine import IllegalTransition


class PilotState(str, enum.Enum):
    """Where a pilot stands. *Silent* (its beats are late) is a mark that is shown beside it."""

    SUBMITTED = "Submitted"  # its secret is made, the element has been asked to start it
    WAITING = "Waiting"  # the element says that it is queued
    RUNNING = "Running"  # it has registered
    DRAINING = "Draining"  # it finishes what it holds and asks for nothing more
    DONE = "Done"  # it said good-bye
    LOST = "Lost"  # silent for longer than any of its leases
    FAILED = "Failed"  # never registered, lost for long, broken, or its secret was used twice
    ABORTED = "Aborted"  # cancelled before it registered


class PilotEvent(str, enum.Enum):
    """What happens to a pilot."""

    QUEUED = "queued"
    REGISTERED = "registered"
    DRAIN = "drain"
    GOODBYE = "goodbye"
    SILENT = "silent"
    BACK = "back"
    BROKE = "broke"
    REPLAYED = "replayed"
    CANCELLED = "cancelled"
    GIVEN_UP = "given_up"


_S = PilotState
_E = PilotEvent

TRANSITIONS: Final[dict[tuple[PilotState, PilotEvent], PilotState]] = {
    (_S.SUBMITTED, _E.QUEUED): _S.WAITING,
    (_S.SUBMITTED, _E.REGISTERED): _S.RUNNING,
    (_S.SUBMITTED, _E.BROKE): _S.FAILED,
    (_S.SUBMITTED, _E.CANCELLED): _S.ABORTED,
    (_S.WAITING, _E.REGISTERED): _S.RUNNING,
    (_S.WAITING, _E.BROKE): _S.FAILED,
    (_S.WAITING, _E.CANCELLED): _S.ABORTED,
    (_S.RUNNING, _E.DRAIN): _S.DRAINING,
    (_S.RUNNING, _E.GOODBYE): _S.DONE,
    (_S.RUNNING, _E.SILENT): _S.LOST,
    (_S.RUNNING, _E.REPLAYED): _S.FAILED,  # somebody else has its renewal secret
    (_S.DRAINING, _E.GOODBYE): _S.DONE,
    (_S.DRAINING, _E.SILENT): _S.LOST,
    (_S.DRAINING, _E.REPLAYED): _S.FAILED,
    (_S.LOST, _E.BACK): _S.RUNNING,  # a long network cut that heals
    (_S.LOST, _E.GOODBYE): _S.DONE,
    (_S.LOST, _E.REPLAYED): _S.FAILED,
    (_S.LOST, _E.GIVEN_UP): _S.FAILED,  # for long, or its element says that it ended
}

START: Final = PilotState.SUBMITTED
FINAL: Final = frozenset({PilotState.DONE, PilotState.FAILED, PilotState.ABORTED})
LIVING: Final = (PilotState.RUNNING, PilotState.DRAINING)
SPEAKING: Final = (*LIVING, PilotState.LOST)  # whose session may still be heard


def moves(event: PilotEvent) -> tuple[tuple[PilotState, PilotState], ...]:
    """Return all moves that `event` makes: from where, and to where."""
    return tuple((old, new) for (old, by), new in TRANSITIONS.items() if by is event)


def next_state(state: PilotState, event: PilotEvent) -> PilotState:
    """Return the state that `event` leads to, or raise IllegalTransition."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition("pilot", state.value, event.value) from None
