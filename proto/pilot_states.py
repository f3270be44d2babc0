"""The states of a pilot, as a table. The drawing in `docs/pilot-states.md` is generated from it."""

import enum
from typing import Final

from .state_machine import IllegalTransition


class PilotState(str, enum.Enum):
    """The state of a pilot. *Silent* (its heartbeats are late) is a mark shown beside a state."""

    SUBMITTED = "Submitted"  # its secret exists, and the compute element was asked to start it
    WAITING = "Waiting"  # the compute element reports it as queued
    RUNNING = "Running"  # it has registered
    DRAINING = "Draining"  # it finishes its attempts and asks for no more work
    DONE = "Done"  # it sent its goodbye
    LOST = "Lost"  # silent for longer than its leases, or ended by the word of its element
    FAILED = "Failed"  # never registered, lost for too long, broken, or its secret was used twice
    ABORTED = "Aborted"  # cancelled before it registered


class PilotEvent(str, enum.Enum):
    """An event that can change the state of a pilot."""

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
    (_S.RUNNING, _E.REPLAYED): _S.FAILED,  # another process has its renewal secret
    (_S.DRAINING, _E.GOODBYE): _S.DONE,
    (_S.DRAINING, _E.SILENT): _S.LOST,
    (_S.DRAINING, _E.REPLAYED): _S.FAILED,
    (_S.LOST, _E.BACK): _S.RUNNING,  # a long network cut has ended
    (_S.LOST, _E.GOODBYE): _S.DONE,
    (_S.LOST, _E.REPLAYED): _S.FAILED,
    # Lost for too long, or its compute element reports that it ended
    (_S.LOST, _E.GIVEN_UP): _S.FAILED,
}

START: Final = PilotState.SUBMITTED
FINAL: Final = frozenset({PilotState.DONE, PilotState.FAILED, PilotState.ABORTED})
LIVING: Final = (PilotState.RUNNING, PilotState.DRAINING)
SPEAKING: Final = (*LIVING, PilotState.LOST)  # states in which its session may still send


def moves(event: PilotEvent) -> tuple[tuple[PilotState, PilotState], ...]:
    """Return all moves that `event` makes, as pairs of the old and the new state."""
    return tuple((old, new) for (old, by), new in TRANSITIONS.items() if by is event)


def next_state(state: PilotState, event: PilotEvent) -> PilotState:
    """Return the state that `event` leads to, or raise IllegalTransition."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition("pilot", state.value, event.value) from None
