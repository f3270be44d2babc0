"""The state of asks: open, parked or closed (PROTOCOL P1), and when the next one is due. Pure."""

import math
from dataclasses import dataclass
from typing import Optional

from pilotage.proto.limits import JOBS_A_TURN_MAX
from pilotage.proto.messages import Ask, AskAnswer, Attempt, Offer

from .slots import FreeCapacity


@dataclass(frozen=True)
class OpenAsk:
    """An ask without an answer. It is repeated unchanged, with its number."""

    ask: Ask
    free: FreeCapacity  # the offered capacity
    first_sent: float  # the fences of its assignments count from here


class AskState:
    """At most one ask is open; an answer to any other ask is ignored."""

    def __init__(self) -> None:
        self.open: Optional[OpenAsk] = None
        self.parked = 0  # number of the parked ask; 0: none
        self.closed = 0  # the last ask that was answered or given up
        self.next_at = -math.inf  # when to ask again although nothing has changed
        self._offered: Optional[FreeCapacity] = None  # the capacity in the parked or refused ask
        self._woken_early = 0  # an ask whose wake-up came before the answer that it is parked

    def due_at(self, free: FreeCapacity) -> float:
        """Return when a new ask is due: at once if there is free capacity that was not offered."""
        if self.open is not None or not free.any:
            return math.inf
        if self._offered is None or free.is_news_after(self._offered):
            return -math.inf
        return self.next_at

    def begin(
        self, offer: Offer, free: FreeCapacity, holding: tuple[Attempt, ...], now: float
    ) -> OpenAsk:
        """Open the next ask. It replaces the parked one."""
        assert self.open is None, "one ask at a time"
        self.parked, self._offered = 0, None
        ask = Ask(
            n=self.closed + 1,
            offer=offer,
            holding=holding,
            jobs_max=min(free.cores, JOBS_A_TURN_MAX),  # a wide node asks again for more
        )
        self.open = OpenAsk(ask, free, now)
        return self.open

    def answered(self, answer: AskAnswer) -> Optional[OpenAsk]:
        """Close the ask that this answers and return it; None for a late answer."""
        asked = self.open
        if asked is None or answer.n != asked.ask.n:
            return None
        self.open, self.closed = None, asked.ask.n
        return asked

    def rest(self, offered: FreeCapacity, *, parked: bool, next_at: float) -> None:
        """Wait for a wake-up, a change or `next_at`, because there is no more work now."""
        self._offered, self.next_at = offered, next_at
        self.parked = self.closed if parked else 0
        if parked and self._woken_early == self.closed:
            self.next_at = -math.inf

    def give_up(self) -> None:
        """Close the open ask without an answer: a late one is ignored."""
        if self.open is not None:
            self.closed = self.open.ask.n
            self.open = None

    def woken(self, n: int) -> bool:
        """Ask again if the wake-up is for the parked ask, or for the open one once it is parked.

        The bus may be faster than the HTTP reply `parked`.
        """
        if self.open is not None and n == self.open.ask.n:
            self._woken_early = n
            return True
        if n == 0 or n != self.parked:
            return False
        self.next_at = -math.inf
        return True

    def called(self) -> None:
        """Ask again if an ask is parked, because the new leader does not know it."""
        if self.parked:
            self.next_at = -math.inf

    def sooner(self, at: float) -> None:
        """Wait at most until `at`."""
        self.next_at = min(self.next_at, at)
