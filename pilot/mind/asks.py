"""Which ask is open, parked or closed (PROTOCOL P1), and when the next one is due. Pure."""

import math
from dataclasses import dataclass
from typing import Optional

from pilotage.proto.limits import JOBS_A_TURN_MAX
from pilotage.proto.messages import Ask, AskAnswer, Attempt, Offer

from .slots import FreeCapacity


@dataclass(frozen=True)
class OpenAsk:
    """An ask without an answer. It is repeated as it is, with its number."""

    ask: Ask
    free: FreeCapacity  # what it offers
    first_sent: float  # the fence of whatever it brings counts from here


class AskState:
    """At most one ask is open; an answer to any other is ignored."""

    def __init__(self) -> None:
        self.open: Optional[OpenAsk] = None
        self.parked = 0  # number of the ask that is parked, 0 for none
        self.closed = 0  # the last ask that is answered or given up
        self.next_at = -math.inf  # when to ask again although nothing has changed
        self._offered: Optional[FreeCapacity] = None  # what the parked or refused ask offers
        self._woken_early = 0  # an ask that was woken before we knew that it is parked

    def due_at(self, free: FreeCapacity) -> float:
        """Return when a new ask is due: at once if something is free that was not offered."""
        if self.open is not None or not free.any:
            return math.inf
        if self._offered is None or free.is_news_after(self._offered):
            return -math.inf
        return self.next_at

    def begin(
        self, offer: Offer, free: FreeCapacity, holding: tuple[Attempt, ...], now: float
    ) -> OpenAsk:
        """Open the next ask. It replaces what was parked."""
        assert self.open is None, "one ask at a time"
        self.parked, self._offered = 0, None
        ask = Ask(
            n=self.closed + 1,
            offer=offer,
            holding=holding,
            jobs_max=min(free.cores, JOBS_A_TURN_MAX),  # a wide node asks again for the rest
        )
        self.open = OpenAsk(ask, free, now)
        return self.open

    def answered(self, answer: AskAnswer) -> Optional[OpenAsk]:
        """Close the ask that this answers and return it, or None for an answer that came late."""
        asked = self.open
        if asked is None or answer.n != asked.ask.n:
            return None
        self.open, self.closed = None, asked.ask.n
        return asked

    def rest(self, offered: FreeCapacity, *, parked: bool, next_at: float) -> None:
        """Nothing more to have now: wait for a wake-up, for a change or until `next_at`."""
        self._offered, self.next_at = offered, next_at
        self.parked = self.closed if parked else 0
        if parked and self._woken_early == self.closed:
            self.next_at = -math.inf

    def give_up(self) -> None:
        """Close the open ask without an answer: one that still comes is ignored."""
        if self.open is not None:
            self.closed = self.open.ask.n
            self.open = None

    def woken(self, n: int) -> bool:
        """Ask again if it is the parked ask that is meant, or the open one once it is parked.

        The bus may be faster than the HTTP reply that says `parked`.
        """
        if self.open is not None and n == self.open.ask.n:
            self._woken_early = n
            return True
        if n == 0 or n != self.parked:
            return False
        self.next_at = -math.inf
        return True

    def called(self) -> None:
        """Ask again if anything is parked: who answers now does not know of it."""
        if self.parked:
            self.next_at = -math.inf

    def sooner(self, at: float) -> None:
        """Do not rest longer than until `at`."""
        self.next_at = min(self.next_at, at)
