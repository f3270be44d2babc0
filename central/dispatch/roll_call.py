"""A central that begins knows of no parked offer: it calls for them, some at a time.

A hint (PROTOCOL C3). A pilot that it does not reach is told to ask by the answer to its next beat,
a third of a lease later at most; without a bus it asks by itself every few seconds.
"""

from typing import Final

from ..outbound import Outbound
from ..pilots.presence import Pilots
from ..ports import Bus, Clock, Leadership

ANY: Final = 0  # whichever ask is parked
LOOK_S: Final = 0.5  # whether the bus stands
# 500 a second: some thousands ask within seconds, and in a crowd that beats tell faster than this
# it adds little to what they bring.
CALLED, EVERY_S = 50, 0.1


class RollCall:
    """Wakes each pilot that has not asked since this central began, once."""

    def __init__(
        self,
        pilots: Pilots,
        bus: Bus,
        outbound: Outbound,
        clock: Clock,
        leadership: Leadership,
    ) -> None:
        self._pilots, self._bus, self._outbound, self._clock = pilots, bus, outbound, clock
        self._leadership = leadership

    async def run(self) -> None:
        """Call them as soon as the bus stands; return when all were called."""
        if not self._bus.url:
            return
        while not self._bus.up:
            await self._clock.sleep(LOOK_S)
        living, term = self._pilots.all(), self._leadership.term
        leader = self._leadership.url() or ""  # for pilots that know no other process that lives
        for start in range(0, len(living), CALLED):
            for one in living[start : start + CALLED]:
                if one.offer is None and not one.drain:
                    self._outbound.wake(one.community, one.pilot, ANY, term, leader)
            await self._clock.sleep(EVERY_S)
