"""A cache of bounded size in memory."""

from collections.abc import Iterator, MutableMapping
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedCache(MutableMapping[K, V]):
    """A mapping of at most `size_max` entries. A new entry pushes out the oldest one.

    Iteration begins with the oldest. An entry that is set again becomes the newest; reading does
    not change the order.
    """

    def __init__(self, size_max: int) -> None:
        assert size_max > 0
        self._size_max = size_max
        self._entries: dict[K, V] = {}

    def __getitem__(self, key: K) -> V:
        return self._entries[key]

    def __setitem__(self, key: K, value: V) -> None:
        entries = self._entries
        entries.pop(key, None)
        while len(entries) >= self._size_max:
            del entries[next(iter(entries))]
        entries[key] = value

    def __delitem__(self, key: K) -> None:
        del self._entries[key]

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[K]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, key: K) -> V | None:
        """Return a value, or None. It is faster than `get`, for requests of pilots."""
        return self._entries.get(key)

    def clear(self) -> None:
        """Forget all entries."""
        self._entries.clear()
