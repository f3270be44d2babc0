"""One element as the factory sees it: its driver, what it said last, and when it may be asked."""

from collections import Counter
from dataclasses import dataclass, field

from ..pilots.record_slots import SlotRow
from .credentials.credential_expiry import KnownCredential
from .element import ComputeElement
from .errors import ElementOperation, ElementTrouble
from .reconciliation import ReconcileResult, SlotHistory
from .site_files.sites import ElementEntry, SiteEntry

PAUSE_FIRST_S, PAUSE_MAX_S = 30.0, 900.0
ASK_S = 60.0  # an element with no pilots is asked whether it is there so often


@dataclass
class WatchedElement:
    """An element that is in force."""

    site: str
    name: str
    site_entry: SiteEntry
    entry: ElementEntry
    driver: ComputeElement
    credential: KnownCredential | None = None
    rows: list[SlotRow] = field(default_factory=list[SlotRow])
    seen: SlotHistory = field(default_factory=SlotHistory)
    found: ReconcileResult | None = None  # None: what it has is not known
    trouble: str = ""  # in its own words; empty: it answers
    refuses: bool = False  # pilots: that it answers otherwise says nothing then
    asked_at: float | None = None  # when it answered last; None: it never has
    pause_s: float = 0.0
    open_at: float = 0.0  # before that nothing is submitted
    in_vain: int = 0  # pilots one after another that ended before they asked for work
    is_busy: bool = False  # its turn goes on
    tried: Counter[str] = field(default_factory=Counter[str])  # pilot → times its output was asked
    heard_at: float = 0.0  # wall clock: when the last of its pilots registered
    sharers: int = 0  # elements of its site that are in force and get pilots; 0: all in its file
    is_gone: bool = False  # no file speaks of it any more: what waits there is taken back
    is_empty: bool = False  # and nothing of ours is left there

    @property
    def key(self) -> tuple[str, str]:
        return self.site, self.name

    @property
    def label(self) -> str:
        return f"{self.site}/{self.name}"

    @property
    def pledge(self) -> float:
        """Its part of the pledge of its site: what has none in force goes to the others."""
        if self.entry.pledge is not None:
            return self.entry.pledge
        return self.site_entry.pledge / (self.sharers or len(self.site_entry.elements))

    def answered(self) -> None:
        """It does as it is asked."""
        self.trouble, self.pause_s, self.refuses = "", 0.0, False

    def is_well(self) -> None:
        """A pilot went all its way there: whatever was held against it is over."""
        self.answered()
        self.open_at, self.in_vain = 0.0, 0

    def failed(self, why: ElementTrouble, now: float) -> None:
        """It did not: nothing is submitted for a while, longer each time."""
        self.trouble, self.refuses = str(why), self.refuses or why.step is ElementOperation.SUBMIT
        self._pause(now)

    def failed_check(self, why: ElementTrouble, now: float) -> None:
        """A probe did not get in: what it has is known again when it has answered."""
        self.failed(why, now)
        self.found = self.asked_at = None

    def is_to_be_asked(self, now: float) -> bool:
        """Whether too long nothing was heard of it. One that gets no pilots is left in peace."""
        return not self.is_disabled and (self.asked_at is None or now >= self.asked_at + ASK_S)

    def has_just_failed(self, now: float) -> bool:
        """Whether it comes after those that did not: in its pause, and for as long after it."""
        return now < self.open_at + self.pause_s

    def came_to_nothing(self, failed: int, now: float) -> None:
        """Pilots ended before they asked for work: fewer of them, until one does."""
        self.trouble = f"{failed} pilots ended before they asked for work"
        self._pause(now)

    def _pause(self, now: float) -> None:
        self.pause_s = min(PAUSE_MAX_S, max(PAUSE_FIRST_S, 2 * self.pause_s))
        self.open_at = now + self.pause_s

    @property
    def is_disabled(self) -> bool:
        """Whether its file says so, or that of its site, or says nothing of it any more."""
        return self.is_gone or not (self.entry.enabled and self.site_entry.enabled)


def shape_name(place: int) -> str:
    """Return what slots call the shape at this place of the list."""
    return f"shape {place}"
