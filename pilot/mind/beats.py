"""Numbered heartbeats: which were sent, what they listed, and over which wire the next one goes.

Pure.
"""

import math
from dataclasses import dataclass
from typing import Optional

from pilotage.proto.messages import Attempt, Beat, Undelivered

UNANSWERED_MAX = 64  # older ones are forgotten: their answers would move no fence
# A heartbeat's number contains its session, so that late answers to an earlier process do not
# match.
SESSION_SHIFT = 20


@dataclass(frozen=True)
class SentBeat:
    sent: float
    listed: tuple[Attempt, ...]
    parked: int


class SessionBeats:
    """The heartbeats of one session. Only an answered one counts, from its sending."""

    def __init__(self, gen: str, session: int, first_at: float) -> None:
        self._gen, self._session = gen, session
        self._n = session << SESSION_SHIFT
        self._sent: dict[int, SentBeat] = {}
        self._last_sent = -math.inf
        self._last_https = -math.inf
        self._regular_at = first_at
        self._soon_at = math.inf

    @property
    def _waiting_since(self) -> Optional[float]:
        """Return when the oldest heartbeat was sent that has no answer, nor any after it."""
        return next((beat.sent for beat in self._sent.values()), None)

    def due(self, impatience_s: float) -> float:
        """Return when to send the next heartbeat."""
        at = min(self._regular_at, self._soon_at)
        since = self._waiting_since
        if since is not None:
            at = min(at, max(since, self._last_https) + impatience_s)
        return at

    def overdue(self, impatience_s: float, now: float) -> bool:
        """Return whether an answer has been missing for so long that HTTPS must be tried."""
        since = self._waiting_since
        return since is not None and now >= since + impatience_s

    def make(
        self,
        now: float,
        holding: tuple[Attempt, ...],
        *,
        parked: int,
        closed: int,
        next_in_s: float,
        https: bool,
        goodbye: bool = False,
        draining: bool = False,
        undelivered: tuple[Undelivered, ...] = (),
    ) -> Beat:
        """Number a heartbeat that is sent now."""
        self._n += 1
        self._last_sent = now
        self._last_https = now if https else self._last_https
        self._regular_at, self._soon_at = now + next_in_s, math.inf
        self._sent[self._n] = SentBeat(now, holding, parked)
        while len(self._sent) > UNANSWERED_MAX:
            # Not the oldest one, because its age shows for how long no answer has come.
            del self._sent[list(self._sent)[1]]
        return Beat(
            gen=self._gen,
            session=self._session,
            n=self._n,
            parked=parked,
            closed=closed,
            holding=holding,
            goodbye=goodbye,
            draining=draining,
            undelivered=undelivered,
        )

    def find(self, n: int) -> Optional[SentBeat]:
        """Return the heartbeat of this number; None: unknown, or a newer one was answered."""
        return self._sent.get(n)

    def answered(self, n: int, period_s: float) -> None:
        """Record the answer to heartbeat `n`; older ones no longer count."""
        beat = self._sent[n]
        for old in [m for m in self._sent if m <= n]:
            del self._sent[old]
        if not self._sent:
            self._regular_at = beat.sent + period_s

    def soon(self, now: float, spacing_s: float) -> None:
        """Send a heartbeat now; if many payloads start at once, `spacing_s` after the last one."""
        self._soon_at = min(self._soon_at, max(now, self._last_sent + spacing_s))
