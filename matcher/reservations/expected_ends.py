"""The state of an offer as its jobs end, if each uses all its time."""

from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate

import msgspec

from pilotage.proto.documents.job import Need

from ..clauses.amounts import due, free_of, given_by, with_free
from ..limits.active_job import ActiveJob
from ..types import LiveOffer


class ExpectedEnds:
    """The jobs on an offer in the order of their ends, and the free amounts after each."""

    __slots__ = ("_free", "_given", "_now", "_offer", "outs")

    def __init__(self, offer: LiveOffer, outs: Iterable[ActiveJob], now: float) -> None:
        self._offer, self._now = offer, now
        self.outs = sorted(outs, key=_end)
        self._given = [given_by(out.grant, offer) for out in self.outs]
        # For each amount: the free number now and after each end.
        self._free = [
            list(accumulate([given[at] for given in self._given], initial=free))
            for at, free in enumerate(free_of(offer))
        ]

    def enough(self, need: Need, latest: float) -> int:
        """Return how many of the jobs must end until there is enough room and time.

        0: there is room now, or there never is enough room and time.
        """
        offer = self._offer
        amounts = due(need, offer)
        if amounts[0] > offer.cores:
            return 0
        number = 0
        for free, it in zip(self._free, amounts, strict=True):
            if it > free[0]:
                number = max(number, bisect_left(free, it))
        latest = min(latest, self._now + offer.wall_left_s - need.wall_s)
        if not 0 < number <= len(self.outs) or self.outs[number - 1].ends_at > latest:
            return 0
        return number

    def most(self) -> LiveOffer:
        """Return the largest possible room, with the time that is left after the first end.

        A job that does not fit into that fits at no time.
        """
        waits_s = max(0.0, self.outs[0].ends_at - self._now)
        all_of_it = after(self._offer, self.outs, self._now)
        left_s = self._offer.wall_left_s - waits_s
        return msgspec.structs.replace(all_of_it, wall_left_s=left_s)

    def soon(self) -> LiveOffer:
        """Return the capacity that is surely free after the first end, with the time left now.

        Without a free core, no other job can take anything before that. With a free core, others
        may take all that is free now, so only the capacity of that job is sure.
        """
        if self._offer.cores_free > 0:
            return with_free(self._offer, self._given[0])
        return with_free(self._offer, [free[1] for free in self._free])

    def until(self, number: int) -> float:
        """Return when this many of the jobs have ended."""
        return self.outs[number - 1].ends_at

    def after(self, number: int) -> LiveOffer:
        """Return the offer after this many of the jobs have ended."""
        return after(self._offer, self.outs[:number], self._now)


def after(offer: LiveOffer, ended: list[ActiveJob], now: float) -> LiveOffer:
    """Return the offer after some jobs on it have used all their time."""
    until = max((out.ends_at for out in ended), default=now)
    free = list(
        map(sum, zip(free_of(offer), *[given_by(out.grant, offer) for out in ended], strict=True))
    )
    free[0] = min(offer.cores, free[0])
    return msgspec.structs.replace(
        with_free(offer, free), wall_left_s=offer.wall_left_s - max(0.0, until - now)
    )


def _end(out: ActiveJob) -> float:
    return out.ends_at
