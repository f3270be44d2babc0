"""The classes of one owner that have waiting jobs, sorted by their best job."""

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

PART_MAX: Final = 256  # entries that one change may have to move


class OwnerRanking:
    """Codes of classes sorted by rank, in parts, so that a change moves few of them.

    Ranks and codes are in separate arrays, because a search for all classes reads only codes.
    Arrays of numbers are faster to read than objects all over the memory.
    """

    __slots__ = ("_ranks", "_tops", "codes")

    def __init__(self) -> None:
        self.codes: list[array[int]] = [array("q")]
        self._ranks: list[list[int]] = [[]]
        self._tops: list[int] = []  # the last rank of each part except the last part

    def __len__(self) -> int:
        return sum([len(part) for part in self.codes])

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield ranks and codes."""
        for ranks, codes in zip(self._ranks, self.codes, strict=True):
            yield from zip(ranks, codes, strict=True)

    def add(self, rank: int, code: int) -> None:
        at = bisect_left(self._tops, rank) if self._tops else 0
        ranks, codes = self._ranks[at], self.codes[at]
        place = bisect_left(ranks, rank)
        ranks.insert(place, rank)
        codes.insert(place, code)
        if len(ranks) > PART_MAX:
            half = len(ranks) // 2
            self._ranks[at : at + 1] = [ranks[:half], ranks[half:]]
            self.codes[at : at + 1] = [codes[:half], codes[half:]]
            self._tops.insert(at, ranks[half - 1])

    def append(self, rank: int, code: int) -> None:
        """Append an entry that comes after all others."""
        if len(self.codes[-1]) >= PART_MAX:
            self._tops.append(self._ranks[-1][-1])
            self._ranks.append([])
            self.codes.append(array("q"))
        self._ranks[-1].append(rank)
        self.codes[-1].append(code)

    def remove(self, rank: int) -> None:
        at = bisect_left(self._tops, rank) if self._tops else 0
        ranks, codes = self._ranks[at], self.codes[at]
        place = bisect_left(ranks, rank)
        del ranks[place], codes[place]
        if not ranks and self._tops:
            del self._ranks[at], self.codes[at]
            del self._tops[min(at, len(self._tops) - 1)]
