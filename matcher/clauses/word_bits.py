"""Sets of rows as bits of integers, by word."""

from array import array
from collections.abc import Iterable, Sequence
from itertools import chain, compress
from typing import Any, Final, TypeVar

FEW_MAX: Final = 32  # rows that are kept one by one

_AS_DIGITS: Final = bytes.maketrans(b"\0\1", b"01")
_AS_BYTES: Final = bytes.maketrans(b"01", b"\0\1")

T = TypeVar("T")


class RowSet:
    """A set of rows that grows row by row."""

    __slots__ = ("_octets", "_value")

    def __init__(self) -> None:
        self._octets = bytearray()
        self._value: int | None = 0  # None: must be computed again

    def add(self, row: int) -> None:
        octets = self._octets
        if row >> 3 >= len(octets):
            octets.extend(bytes((row >> 3) + 1 - len(octets)))
        octets[row >> 3] |= 1 << (row & 7)
        self._value = None

    @property
    def value(self) -> int:
        if self._value is None:
            self._value = int.from_bytes(self._octets, "little")
        return self._value


class WordRows:
    """For each word, the rows that have it: one by one while they are few, then as bits.

    Bits of distant rows take more memory.
    """

    __slots__ = ("_few", "_many")

    def __init__(self) -> None:
        self._few: dict[Any, array[int]] = {}
        self._many: dict[Any, RowSet] = {}

    def add(self, word: Any, row: int) -> None:
        many = self._many.get(word)
        if many is not None:
            many.add(row)
            return
        few = self._few.get(word)
        if few is None:
            self._few[word] = array("I", (row,))
            return
        few.append(row)
        if len(few) > FEW_MAX:
            many = self._many[word] = RowSet()
            for one in self._few.pop(word):
                many.add(one)

    def rows(self, word: Any, size: int) -> int:
        """Return the rows with a word."""
        many = self._many.get(word)
        if many is not None:
            return many.value
        few = self._few.get(word)
        return bits(few, size) if few is not None else 0

    def any(self, words: Iterable[Any], size: int) -> int:
        """Return the rows with any of some words."""
        found = 0
        few: list[array[int]] = []
        for word in words:
            many = self._many.get(word)
            if many is not None:
                found |= many.value
            elif word in self._few:
                few.append(self._few[word])
        return found | bits(chain.from_iterable(few), size) if few else found


def bits(rows: Iterable[int], size: int) -> int:
    """Return rows, all of them below `size`, as bits of an integer."""
    octets = bytearray(size // 8 + 1)
    for row in rows:
        octets[row >> 3] |= 1 << (row & 7)
    return int.from_bytes(octets, "little")


def each(bits_: int) -> Iterable[int]:
    """Return the rows of these bits in rising order."""
    found, at = list[int](), 0
    octets = bits_.to_bytes(bits_.bit_length() // 8 + 1, "little")
    for at, octet in enumerate(octets):
        while octet:
            low = octet & -octet
            found.append((at << 3) + low.bit_length() - 1)
            octet ^= low
    return found


def of_flags(are_in: Iterable[bool]) -> int:
    """Return the rows whose flag is set, as bits."""
    digits = bytes(are_in)[::-1].translate(_AS_DIGITS)
    return int(digits, 2) if digits else 0


def selected(items: Sequence[T], bits_: int) -> Iterable[T]:
    """Yield the items at the rows of these bits."""
    return compress(items, bin(bits_)[:1:-1].encode().translate(_AS_BYTES))


def flags(bits_: int, size: int) -> str:
    """Return a "1" for each row of these bits and a "0" for each other, in order."""
    return format(bits_, f"0{size}b")[::-1]
