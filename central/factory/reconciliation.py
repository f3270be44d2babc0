"""What an element's word means for the pilots that were submitted to it. Pure.

A pilot's own first sign of life is believed before the word of its element, which may be a minute
late. By that word end pilots that have not registered, and those that are lost: silent, without a
job, and the element has said for a while that they have ended. Of the others it only tells when it
keeps nothing more. What an element does not know it may have forgotten for a moment: that
counts only when it stays so.

A pilot takes up a place for as long as its element says that it is there, whatever became of it:
one that has ended and stays is cancelled, again and again, and counts until it has gone. One that
is silent counts until its element says that it has gone, too.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pilotage.proto.pilot_states import FINAL, PilotState

from ..pilots.record_slots import SlotRow
from .element import Slot, SlotState

GONE = Slot(SlotState.GONE)
Sort = tuple[str, str]  # of pilots at an element: shape, community


@dataclass(frozen=True)
class FactoryTimeouts:
    """How long things may take, in seconds."""

    answer_s: float = 120.0  # from a pilot's row to the element's own name of it
    gone_s: float = 300.0  # an element that does not know a pilot
    start_s: float = 900.0  # from the start of a pilot to its first word
    queue_s: float = 6 * 86_400.0  # in the element's queue: its secret runs out
    stuck_s: float = (
        1_800.0  # in the queue: then a pilot counts ever less, after twice that nothing
    )
    leave_s: float = 300.0  # from its good-bye to the end of its batch job
    lost_s: float = 300.0  # a silent pilot that its element says has ended, or does not know


@dataclass
class SlotHistory:
    """Since when an element says of its slots what it says; kept from look to look."""

    since: dict[str, tuple[SlotState, float]] = field(
        default_factory=dict[str, tuple[SlotState, float]]
    )
    ends: dict[str, tuple[Slot, float]] = field(default_factory=dict[str, tuple[Slot, float]])

    def note(self, said: Mapping[str, Slot], now: float) -> None:
        """Take note of what is said now; what is asked about no more is dropped."""
        self.since = {
            slot: self.since[slot]
            if slot in self.since and self.since[slot][0] is one.state
            else (one.state, now)
            for slot, one in said.items()
        }
        told = {slot: one for slot, one in said.items() if one.state is SlotState.ENDED}
        # What has ended may be forgotten a moment later: that it had is known all the same.
        gone = (slot for slot, one in said.items() if one.state is SlotState.GONE)
        kept = {slot: self.ends[slot] for slot in gone if slot in self.ends}
        self.ends = {
            **kept,
            **{slot: self.ends.get(slot, (one, now)) for slot, one in told.items()},
        }

    def end_of(self, slot: str, now: float, at_least_s: float) -> Slot | None:
        """Return how a slot ended, by its element's word of so long ago or longer."""
        end = self.ends.get(slot)
        return end[0] if end is not None and now - end[1] > at_least_s else None

    def for_s(self, slot: str, now: float) -> float:
        """Return for how long the element has said of a slot what it says."""
        return now - self.since[slot][1] if slot in self.since else 0.0


@dataclass
class ReconcileResult:
    """What is to be done at one element, and how many pilots it has."""

    fail: dict[str, str] = field(default_factory=dict[str, str])  # pilot → reason
    abort: dict[str, str] = field(default_factory=dict[str, str])
    cancel: dict[str, str] = field(default_factory=dict[str, str])  # pilot → slot
    lost: dict[str, str] = field(default_factory=dict[str, str])  # silent ones that have ended
    fetch: list[SlotRow] = field(default_factory=list[SlotRow])  # whose output is to be kept
    forget: list[SlotRow] = field(default_factory=list[SlotRow])  # after that
    queued: Counter[Sort] = field(default_factory=Counter[Sort])
    waited: dict[Sort, float] = field(default_factory=dict[Sort, float])  # parts of pilots
    pilots_of: Counter[str] = field(default_factory=Counter[str])  # by community
    leaving: int = 0  # of these, those that have ended, and that it still has in its queue

    @property
    def pilots(self) -> int:
        """How many pilots take up a place."""
        return self.pilots_of.total()

    def late(self, sort: Sort) -> int:
        """Return how many of the pilots that are queued are not to be counted on any more."""
        return int(self.waited.get(sort, 0.0))

    @property
    def in_queue(self) -> int:
        """How many pilots the element has in its queue, wanted or not."""
        return self.queued.total() + self.leaving


def sort_of(row: SlotRow) -> Sort:
    """Return of which sort a pilot is."""
    return row.shape, row.community


def nameless(rows: Sequence[SlotRow]) -> list[str]:
    """Return the pilots of which the element has not said what it calls them."""
    return [row.pilot for row in rows if row.slot is None and row.state not in FINAL]


def reconcile(
    rows: Sequence[SlotRow],
    said: Mapping[str, Slot],
    seen: SlotHistory,
    *,
    wall: float,
    now: float,
    patience: FactoryTimeouts,
) -> ReconcileResult:
    """Return what the element's answer about all of its slots calls for.

    `wall` is the time that rows carry, `now` the clock of `seen`.
    """
    found = ReconcileResult()
    for row in rows:
        if row.state in FINAL:
            _ended(found, row, said, wall - (row.ended_at or 0.0) > patience.leave_s)
        elif row.registered_at is None:
            found.pilots_of[row.community] += 1
            _unregistered(found, row, said, seen, wall=wall, now=now, patience=patience)
        elif not _has_gone(row, said, seen, now, patience.lost_s):
            found.pilots_of[row.community] += 1
        elif row.slot is not None and (end := seen.end_of(row.slot, now, patience.lost_s)):
            found.lost[row.pilot] = _why_lost(end)
    return found


def _has_gone(
    row: SlotRow, said: Mapping[str, Slot], seen: SlotHistory, now: float, lost_s: float
) -> bool:
    """Whether a pilot that had registered is silent, and its element has lost it for long, too."""
    if row.state is not PilotState.LOST or row.slot is None:
        return False
    is_there = said.get(row.slot, GONE).state not in (SlotState.ENDED, SlotState.GONE)
    return not is_there and seen.for_s(row.slot, now) > lost_s


def _ended(found: ReconcileResult, row: SlotRow, said: Mapping[str, Slot], is_late: bool) -> None:
    """A pilot has said good-bye, or was given up. `is_late`: its batch job should have ended."""
    if row.slot is None:
        found.forget.append(row)
        return
    slot = said.get(row.slot, GONE)
    if slot.state is SlotState.GONE and row.state is not PilotState.DONE and not is_late:
        return  # it may be back: then it is to be cancelled
    if slot.state in (SlotState.ENDED, SlotState.GONE):
        if row.state is PilotState.FAILED and slot.state is SlotState.ENDED:
            found.fetch.append(row)
        found.forget.append(row)
        return
    found.pilots_of[row.community] += 1
    if slot.state is not SlotState.RUNNING:
        found.leaving += 1
    if is_late or row.state is not PilotState.DONE or slot.state is not SlotState.RUNNING:
        found.cancel[row.pilot] = row.slot  # one that is done goes by itself in a moment


def _unregistered(
    found: ReconcileResult,
    row: SlotRow,
    said: Mapping[str, Slot],
    seen: SlotHistory,
    *,
    wall: float,
    now: float,
    patience: FactoryTimeouts,
) -> None:
    age_s = wall - row.made_at
    if row.slot is None:
        if age_s > patience.answer_s:
            found.abort[row.pilot] = "it never reached its element"
        else:
            found.queued[sort_of(row)] += 1
        return
    slot = said.get(row.slot, GONE)
    for_s = seen.for_s(row.slot, now)
    if slot.state is SlotState.ENDED:
        found.fail[row.pilot] = _why_ended(slot)
    elif slot.state is SlotState.GONE and for_s > patience.gone_s:
        found.fail[row.pilot] = "its element knows nothing of it, and it never asked for work"
    elif slot.state is SlotState.HELD:
        found.leaving += 1  # until it has gone
        found.cancel[row.pilot] = row.slot
        found.fail[row.pilot] = f"its element holds it: {slot.why or 'it does not say why'}"
    elif slot.state is SlotState.RUNNING and for_s > patience.start_s:
        found.cancel[row.pilot] = row.slot
        found.fail[row.pilot] = f"it has run for {for_s:.0f} s and never asked for work"
    elif slot.state is SlotState.QUEUED and age_s > patience.queue_s:
        found.leaving += 1
        found.cancel[row.pilot] = row.slot
        found.abort[row.pilot] = f"it has waited for {age_s / 86_400:.0f} days: its secret runs out"
    else:
        found.queued[sort_of(row)] += 1
        if slot.state is SlotState.QUEUED:
            part = min(1.0, max(0.0, age_s / patience.stuck_s - 1.0))
            found.waited[sort_of(row)] = found.waited.get(sort_of(row), 0.0) + part


def _why_ended(slot: Slot) -> str:
    return f"it ended before it asked for work{_code(slot)}"


def _why_lost(slot: Slot) -> str:
    return f"lost without a word, and its element says that it has ended{_code(slot)}"


def _code(slot: Slot) -> str:
    code = "" if slot.exit_code is None else f", with exit code {slot.exit_code}"
    return f"{code} ({slot.why})" if slot.why else code
