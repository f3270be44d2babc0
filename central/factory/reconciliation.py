"""Decides what an element's report means for its pilots. Pure.

A heartbeat of the pilot itself counts more than the report of its element, which may be a minute
late. The report ends two kinds of pilots: those that never registered, and lost ones. A lost pilot
is silent, has no job, and its element has reported its end for a while. A pilot that the element
does not know counts as gone only if the answer stays the same.

A pilot takes up a place while its element reports it, even if the central has ended it. If it has
ended but is still reported, it is cancelled again and counts until it has gone. A silent pilot
counts until its element reports its end, or has not known it for a while.
"""

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field

from pilotage.proto.pilot_states import FINAL, PilotState

from ..pilots.record_slots import SlotRow
from .element import Slot, SlotState

GONE = Slot(SlotState.GONE)
ENDED_EARLY = "it ended before it asked for work"
Sort = tuple[str, str]  # of pilots at an element: shape, community


@dataclass(frozen=True)
class FactoryTimeouts:
    """Timeouts of the factory, in seconds."""

    answer_s: float = 120.0  # from a pilot's row to its slot id from the element
    gone_s: float = 300.0  # for an element that does not know a pilot
    start_s: float = 900.0  # from the start of a pilot to its registration
    queue_s: float = 6 * 86_400.0  # in the element's queue: then its secret expires
    stuck_s: float = (
        1_800.0  # in the queue; from then on a pilot counts less, and after twice this not at all
    )
    leave_s: float = 300.0  # from its sign-off to the end of its batch job
    lost_s: float = 300.0  # for a silent pilot that its element reports as ended or unknown


@dataclass
class SlotHistory:
    """The time when an element's report on each slot last changed. It is kept between looks."""

    since: dict[str, tuple[SlotState, float]] = field(
        default_factory=dict[str, tuple[SlotState, float]]
    )
    ends: dict[str, tuple[Slot, float]] = field(default_factory=dict[str, tuple[Slot, float]])

    def note(self, said: Mapping[str, Slot], now: float) -> None:
        """Note the current reports; drop slots that are no longer asked about."""
        self.since = {
            slot: self.since[slot]
            if slot in self.since and self.since[slot][0] is one.state
            else (one.state, now)
            for slot, one in said.items()
        }
        ended = {slot: one for slot, one in said.items() if one.state is SlotState.ENDED}
        # A batch system may forget an ended pilot a moment later; remember the end here.
        gone = (slot for slot, one in said.items() if one.state is SlotState.GONE)
        kept = {slot: self.ends[slot] for slot in gone if slot in self.ends}
        self.ends = {
            **kept,
            **{slot: self.ends.get(slot, (one, now)) for slot, one in ended.items()},
        }

    def end_of(self, slot: str, now: float, at_least_s: float) -> Slot | None:
        """Return the end of a slot if the element has reported it for `at_least_s`, else None."""
        end = self.ends.get(slot)
        return end[0] if end is not None and now - end[1] > at_least_s else None

    def for_s(self, slot: str, now: float) -> float:
        """Return for how many seconds the element's report on a slot has been the same."""
        return now - self.since[slot][1] if slot in self.since else 0.0


@dataclass
class ReconcileResult:
    """The actions for one element, and the number of its pilots."""

    fail: dict[str, str] = field(default_factory=dict[str, str])  # pilot → reason
    abort: dict[str, str] = field(default_factory=dict[str, str])
    cancel: dict[str, str] = field(default_factory=dict[str, str])  # pilot → slot
    silent: dict[str, str] = field(default_factory=dict[str, str])  # that have ended: now lost
    lost: dict[str, str] = field(default_factory=dict[str, str])  # that ended a while ago
    fetch: list[SlotRow] = field(default_factory=list[SlotRow])  # pilots to fetch the output of
    forget: list[SlotRow] = field(default_factory=list[SlotRow])  # pilots to forget after that
    queued: Counter[Sort] = field(default_factory=Counter[Sort])
    waited: dict[Sort, float] = field(default_factory=dict[Sort, float])  # parts of pilots
    pilots_of: Counter[str] = field(default_factory=Counter[str])  # by community
    leaving: int = 0  # of these, ended pilots that the element still has in its queue
    quiet: int = 0  # of these, registered pilots that are silent

    @property
    def pilots(self) -> int:
        """The number of pilots that take up a place."""
        return self.pilots_of.total()

    def late(self, sort: Sort) -> int:
        """Return how many queued pilots have waited too long to be counted on."""
        return int(self.waited.get(sort, 0.0))

    @property
    def in_queue(self) -> int:
        """The number of pilots in the element's queue, wanted or not."""
        return self.queued.total() + self.leaving


def sort_of(row: SlotRow) -> Sort:
    """Return the sort of a pilot."""
    return row.shape, row.community


def nameless(rows: Sequence[SlotRow]) -> list[str]:
    """Return the pilots without a slot id from their element."""
    return [row.pilot for row in rows if row.slot is None and row.state not in FINAL]


def reconcile(
    rows: Sequence[SlotRow],
    said: Mapping[str, Slot],
    seen: SlotHistory,
    *,
    wall: float,
    now: float,
    patience: FactoryTimeouts,
    silent: Container[str] = (),
) -> ReconcileResult:
    """Return the actions that follow from the element's report on all of its slots.

    `wall` is the clock of the rows, `now` the clock of `seen`. `silent`: the registered pilots
    without a message for a while.
    """
    found = ReconcileResult()
    for row in rows:
        if row.state in FINAL:
            _ended(found, row, said, wall - (row.ended_at or 0.0) > patience.leave_s)
        elif row.registered_at is None:
            found.pilots_of[row.community] += 1
            _unregistered(found, row, said, seen, wall=wall, now=now, patience=patience)
        elif row.state is PilotState.LOST or row.pilot in silent:
            _silent(found, row, said, seen, now, patience.lost_s)
        else:
            found.pilots_of[row.community] += 1
    return found


def _silent(
    found: ReconcileResult,
    row: SlotRow,
    said: Mapping[str, Slot],
    seen: SlotHistory,
    now: float,
    lost_s: float,
) -> None:
    """Handle a registered pilot that is silent. It counts until its element reports its end."""
    slot = GONE if row.slot is None else said.get(row.slot, GONE)
    is_unknown = row.slot is not None and slot.state is SlotState.GONE
    has_gone = is_unknown and seen.for_s(row.slot or "", now) > lost_s
    if slot.state is not SlotState.ENDED and not has_gone:
        found.pilots_of[row.community] += 1
        found.quiet += 1
    elif row.state is not PilotState.LOST:
        found.silent[row.pilot] = _why_lost(slot)
    elif row.slot is not None and (end := seen.end_of(row.slot, now, lost_s)):
        found.lost[row.pilot] = _why_lost(end)


def _ended(found: ReconcileResult, row: SlotRow, said: Mapping[str, Slot], is_late: bool) -> None:
    """Handle an ended pilot. `is_late`: its batch job should have ended by now."""
    if row.slot is None:
        found.forget.append(row)
        return
    slot = said.get(row.slot, GONE)
    if slot.state is SlotState.GONE and row.state is not PilotState.DONE and not is_late:
        return  # it may come back: then cancel it
    if slot.state in (SlotState.ENDED, SlotState.GONE):
        if row.state is PilotState.FAILED and slot.state is SlotState.ENDED:
            found.fetch.append(row)
        found.forget.append(row)
        return
    found.pilots_of[row.community] += 1
    if slot.state is not SlotState.RUNNING:
        found.leaving += 1
    if is_late or row.state is not PilotState.DONE or slot.state is not SlotState.RUNNING:
        found.cancel[row.pilot] = row.slot  # a finished pilot leaves by itself in a moment


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
        found.fail[row.pilot] = "its element does not know it, and it never asked for work"
    elif slot.state is SlotState.HELD:
        found.leaving += 1  # until it has gone
        found.cancel[row.pilot] = row.slot
        found.fail[row.pilot] = f"its element holds it: {slot.why or 'no reason given'}"
    elif slot.state is SlotState.RUNNING and for_s > patience.start_s:
        found.cancel[row.pilot] = row.slot
        found.fail[row.pilot] = f"it has run for {for_s:.0f} s and never asked for work"
    elif slot.state is SlotState.QUEUED and age_s > patience.queue_s:
        found.leaving += 1
        found.cancel[row.pilot] = row.slot
        found.abort[row.pilot] = f"it has waited for {age_s / 86_400:.0f} days: its secret expires"
    else:
        found.queued[sort_of(row)] += 1
        if slot.state is SlotState.QUEUED:
            part = min(1.0, max(0.0, age_s / patience.stuck_s - 1.0))
            found.waited[sort_of(row)] = found.waited.get(sort_of(row), 0.0) + part


def _why_ended(slot: Slot) -> str:
    return f"{ENDED_EARLY}{_code(slot)}"


def _why_lost(slot: Slot) -> str:
    if slot.state is SlotState.GONE:
        return "lost: it is silent, and its element does not know it"
    return f"lost: it is silent, and its element reports its end{_code(slot)}"


def _code(slot: Slot) -> str:
    code = "" if slot.exit_code is None else f", with exit code {slot.exit_code}"
    return f"{code} ({slot.why})" if slot.why else code
