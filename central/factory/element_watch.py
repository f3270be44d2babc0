"""One element as the factory sees it: its driver, its last answer, and its pauses."""

from collections import Counter
from dataclasses import dataclass, field

from ..pilots.record_slots import SlotRow
from .credentials.credential_expiry import KnownCredential
from .element import ComputeElement
from .errors import ElementOperation, ElementTrouble
from .reconciliation import ReconcileResult, SlotHistory
from .site_files.sites import ElementEntry, SiteEntry

PAUSE_FIRST_S, PAUSE_MAX_S = 30.0, 900.0
ASK_S = 60.0  # interval of checks of an element without pilots


@dataclass
class WatchedElement:
    """An element in use."""

    site: str
    name: str
    site_entry: SiteEntry
    entry: ElementEntry
    driver: ComputeElement
    credential: KnownCredential | None = None
    rows: list[SlotRow] = field(default_factory=list[SlotRow])
    seen: SlotHistory = field(default_factory=SlotHistory)
    found: ReconcileResult | None = None  # None: the number of its pilots is unknown
    trouble: str = ""  # the element's own words; empty: it answers
    refuses: bool = False  # it refuses pilots, whatever else it answers
    asked_at: float | None = None  # time of its last answer; None: never
    pause_s: float = 0.0
    open_at: float = 0.0  # no submission before this time
    in_vain: int = 0  # pilots in a row that ended before they asked for work
    is_busy: bool = False  # its turn has not ended
    tried: Counter[str] = field(default_factory=Counter[str])  # pilot → tries to fetch its output
    heard_at: float = 0.0  # wall clock: when its last pilot registered
    sharers: int = 0  # elements of its site that get pilots; 0: all in its file
    is_gone: bool = False  # no file names it any more: its queued pilots are cancelled
    is_empty: bool = False  # and it has no pilot of ours left

    @property
    def key(self) -> tuple[str, str]:
        return self.site, self.name

    @property
    def label(self) -> str:
        return f"{self.site}/{self.name}"

    @property
    def pledge(self) -> float:
        """Its part of its site's pledge, which the site's elements in use share."""
        if self.entry.pledge is not None:
            return self.entry.pledge
        return self.site_entry.pledge / (self.sharers or len(self.site_entry.elements))

    def answered(self) -> None:
        """Note that it answered."""
        self.trouble, self.pause_s, self.refuses = "", 0.0, False

    def is_well(self) -> None:
        """Note that a pilot of it registered: this ends all pauses."""
        self.answered()
        self.open_at, self.in_vain = 0.0, 0

    def failed(self, why: ElementTrouble, now: float) -> None:
        """Note that it failed: pause submission, each time longer."""
        self.trouble, self.refuses = str(why), self.refuses or why.step is ElementOperation.SUBMIT
        self._pause(now)

    def failed_check(self, why: ElementTrouble, now: float) -> None:
        """Note that a probe failed: the number of its pilots is unknown until it answers."""
        self.failed(why, now)
        self.found = self.asked_at = None

    def is_to_be_asked(self, now: float) -> bool:
        """Return whether its last answer is too old. A disabled element is not asked."""
        return not self.is_disabled and (self.asked_at is None or now >= self.asked_at + ASK_S)

    def has_just_failed(self, now: float) -> bool:
        """Return whether it failed recently, so that other elements come first.

        This holds during its pause, and for the same time after the pause.
        """
        return now < self.open_at + self.pause_s

    def came_to_nothing(self, failed: int, now: float) -> None:
        """Note that pilots ended before they asked for work, and lower the number of new ones."""
        self.trouble = f"{failed} pilots ended before they asked for work"
        self._pause(now)

    def _pause(self, now: float) -> None:
        self.pause_s = min(PAUSE_MAX_S, max(PAUSE_FIRST_S, 2 * self.pause_s))
        self.open_at = now + self.pause_s

    @property
    def is_disabled(self) -> bool:
        """Whether its file or that of its site disables it, or no file names it any more."""
        return self.is_gone or not (self.entry.enabled and self.site_entry.enabled)


def shape_name(place: int) -> str:
    """Return the name that slots give the shape at this place of the list."""
    return f"shape {place}"
