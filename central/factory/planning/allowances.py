"""Counts the waiting jobs that the limits of running jobs allow, by place. Pure.

Jobs that a limit stops at a place need no pilot there: it would find no work.
"""

from collections.abc import Callable, Iterator, Sequence

from pilotage.matcher.types import Ceiling


class AllowedJobs:
    """The jobs that the limits still allow, in one look at all classes, which share limits."""

    def __init__(self, places_at: Callable[[str], int]) -> None:
        self._places_at = places_at  # the places of a SITE or SITE/ELEMENT, as bits
        self._left: dict[int, int] = {}
        self._places: dict[str, int] = {}

    def parts(
        self, jobs: int, places: int, ceilings: Sequence[Ceiling]
    ) -> Iterator[tuple[int, int]]:
        """Yield how many jobs of a class may run, and at which of its places.

        Call it first for the classes with the smallest choice of places.
        """
        bounds = [(one, self._bits_of(one)) for one in ceilings]
        for one in ceilings:
            self._left.setdefault(one.number, one.room)
        while jobs > 0 and places:
            here = [one for one, bits in bounds if bits & places]
            some = min([jobs, *(self._left[one.number] // one.takes for one in here)])
            if some > 0:
                yield some, places
                jobs -= some
            for one in here:
                self._left[one.number] -= some * one.takes
            for one, bits in bounds:
                if self._left[one.number] < one.takes:
                    places &= ~bits

    def _bits_of(self, one: Ceiling) -> int:
        found = self._bits(one.where)
        for where in one.but:
            found &= ~self._bits(where)
        return found

    def _bits(self, where: str) -> int:
        if where not in self._places:
            self._places[where] = self._places_at(where)
        return self._places[where]
