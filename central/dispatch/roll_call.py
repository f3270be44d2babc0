"""Wakes all pilots after a start, since the new central knows none of their parked offers.

A wake-up is a hint (PROTOCOL C3). If it does not reach a pilot, the answer to the pilot's next
beat tells it to ask; that takes at most a third of a lease. Without a bus a pilot asks by itself
every few seconds.
"""

from typing import Final

from ..outbound import Outbound
from ..pilots.presence import Pilots
from ..ports import Bus, Clock, Leadership

ANY: Final = 0  # the wake-up is for any parked ask
LOOK_S: Final = 0.5  # between two checks whether the bus is up
# 500 pilots a second: a few thousand pilots ask within seconds. In a larger crowd the answers to
# beats wake pilots faster than this, and the calls add little load.
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
        """Wake the pilots as soon as the bus is up. Return when all have been called."""
        if not self._bus.url:
            return
        while not self._bus.up:
            await self._clock.sleep(LOOK_S)
        living, term = self._pilots.all(), self._leadership.term
        leader = self._leadership.url() or ""  # for pilots that know no other living process
        for start in range(0, len(living), CALLED):
            for one in living[start : start + CALLED]:
                if one.offer is None and not one.drain:
                    self._outbound.wake(one.community, one.pilot, ANY, term, leader)
            await self._clock.sleep(EVERY_S)
