"""What an element's word means for the pilots that were submitted to it. Pure.

A pilot's own first sign of life is believed before the word of its element, which may be a minute
late. Only pilots that have not registered end by that word; of the others the element only tells
when it keeps nothing more. What an element does not know it may have forgotten for a moment: that
counts only when it stays so.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pilotage.proto.pilot_states import FINAL, PilotState

from ..store.slots import SlotRow
from .element import Slot, SlotState

GONE = Slot(SlotState.GONE)


@dataclass(frozen=True)
class Patience:
    """How long things may take, in seconds."""

    answer_s: float = 120.0  # from a pilot's row to the element's own name of it
    gone_s: float = 300.0  # an element that does not know a pilot
    start_s: float = 900.0  # from the start of a pilot to its first word
    queue_s: float = 6 * 86_400.0  # in the element's queue: its secret runs out


@dataclass
class Seen:
    """Since when an element says of its slots what it says; kept from look to look."""

    since: dict[str, tuple[SlotState, float]] = field(
        default_factory=dict[str, tuple[SlotState, float]]
    )

    def note(self, said: Mapping[str, Slot], now: float) -> None:
        """Take note of what is said now; what is asked about no more is dropped."""
        self.since = {
            slot: self.since[slot]
            if slot in self.since and self.since[slot][0] is one.state
            else (one.state, now)
            for slot, one in said.items()
        }

    def for_s(self, slot: str, now: float) -> float:
        """Return for how long the element has said of a slot what it says."""
        return now - self.since[slot][1] if slot in self.since else 0.0


@dataclass
class Reconciled:
    """What is to be done at one element, and how many pilots it has."""

    fail: dict[str, str] = field(default_factory=dict[str, str])  # pilot → reason
    abort: dict[str, str] = field(default_factory=dict[str, str])
    cancel: list[str] = field(default_factory=list[str])  # slots
    fetch: list[SlotRow] = field(default_factory=list[SlotRow])  # whose output is to be kept
    forget: list[SlotRow] = field(default_factory=list[SlotRow])  # after that
    queued: Counter[str] = field(default_factory=Counter[str])  # by shape
    pilots: int = 0  # that have not ended


def nameless(rows: Sequence[SlotRow]) -> list[str]:
    """Return the pilots of which the element has not said what it calls them."""
    return [row.pilot for row in rows if row.slot is None and row.state not in FINAL]


def reconcile(
    rows: Sequence[SlotRow],
    said: Mapping[str, Slot],
    seen: Seen,
    *,
    wall: float,
    now: float,
    patience: Patience,
) -> Reconciled:
    """Return what the element's answer about all of its slots calls for.

    `wall` is the time that rows carry, `now` the clock of `seen`.
    """
    found = Reconciled()
    for row in rows:
        if row.state in FINAL:
            _ended(found, row, said)
            continue
        found.pilots += 1
        if row.registered_at is None:
            _unregistered(found, row, said, seen, wall=wall, now=now, patience=patience)
    return found


def _ended(found: Reconciled, row: SlotRow, said: Mapping[str, Slot]) -> None:
    """A pilot has said good-bye, or was given up."""
    if row.slot is None:
        found.forget.append(row)
        return
    slot = said.get(row.slot, GONE)
    if slot.state in (SlotState.ENDED, SlotState.GONE):
        if row.state is PilotState.FAILED and slot.state is SlotState.ENDED:
            found.fetch.append(row)
        found.forget.append(row)
    elif row.state is not PilotState.DONE or slot.state is not SlotState.RUNNING:
        found.cancel.append(row.slot)  # one that is done goes by itself in a moment


def _unregistered(
    found: Reconciled,
    row: SlotRow,
    said: Mapping[str, Slot],
    seen: Seen,
    *,
    wall: float,
    now: float,
    patience: Patience,
) -> None:
    age_s = wall - row.made_at
    if row.slot is None:
        if age_s > patience.answer_s:
            found.abort[row.pilot] = "it never reached its element"
        else:
            found.queued[row.shape] += 1
        return
    slot = said.get(row.slot, GONE)
    for_s = seen.for_s(row.slot, now)
    if slot.state is SlotState.ENDED:
        found.fail[row.pilot] = _why_ended(slot)
    elif slot.state is SlotState.GONE and for_s > patience.gone_s:
        found.fail[row.pilot] = "its element knows nothing of it, and it never asked for work"
    elif slot.state is SlotState.HELD:
        found.cancel.append(row.slot)
        found.fail[row.pilot] = f"its element holds it: {slot.why or 'it does not say why'}"
    elif slot.state is SlotState.RUNNING and for_s > patience.start_s:
        found.cancel.append(row.slot)
        found.fail[row.pilot] = f"it has run for {for_s:.0f} s and never asked for work"
    elif slot.state is SlotState.QUEUED and age_s > patience.queue_s:
        found.cancel.append(row.slot)
        found.abort[row.pilot] = f"it has waited for {age_s / 86_400:.0f} days: its secret runs out"
    else:
        found.queued[row.shape] += 1


def _why_ended(slot: Slot) -> str:
    code = "" if slot.exit_code is None else f", with exit code {slot.exit_code}"
    why = f" ({slot.why})" if slot.why else ""
    return f"it ended before it asked for work{code}{why}"
