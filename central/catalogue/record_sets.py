"""The sets of metadata in memory, and the sets whose files may match a query.

For each value of a key, the bits of a number say which sets have it. A condition is therefore
tested once for each value, however many sets exist. A few operations on long numbers combine the
conditions.
"""

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from pilotage.proto.catalogue import Condition, Metadata, Op, Query, Value, ValueTest, test_of

from ..store.session import Session, json_list
from .record_interned import columns, decode

SETS_READ: Final = 5_000  # rows read at a time
JUDGED_MAX: Final = 64  # queries whose matching sets are cached
JUDGED_SETS_MAX: Final = 200_000  # in all cached queries together: about 20 MB
METADATA_MAX: Final = 32 << 20  # characters of cached metadata: about 100 MB at most
_WEIGHT: Final = 200  # of a cached set, in addition to its text
TEXT_END: Final = "\U0010ffff"

KnownKeys = Mapping[str, tuple[int, bool]]  # existing keys of a query: (id, whether it is own)


class OwnCondition(NamedTuple):
    """A condition on a key whose values files may have as their own."""

    key: str
    key_id: int
    test: ValueTest
    ranges: tuple[tuple[str, Any, Any], ...]  # (statement, low, high); empty: no index helps


class CandidateSet(NamedTuple):
    """A set whose files may match: all of them, or those that meet the conditions in `own`."""

    set_id: int
    own: tuple[OwnCondition, ...]


class _Bits:
    """The sets of one community, and for each value the bits of the sets that have it."""

    def __init__(self) -> None:
        self.ids: list[int] = []  # by bit number
        self._having: defaultdict[str, dict[Value, int]] = defaultdict(dict)

    def add(self, sets: Sequence[tuple[int, Metadata]]) -> None:
        """Append sets in order of their ids."""
        places: defaultdict[tuple[str, Value], list[int]] = defaultdict(list)
        for place, (set_id, metadata) in enumerate(sets, len(self.ids)):
            self.ids.append(set_id)
            for item in metadata.items():
                places[item].append(place)
        for (key, value), several in places.items():
            values = self._having[key]
            values[value] = values.get(value, 0) | _number(several)

    def judge(self, query: Query, keys: KnownKeys) -> list[CandidateSet]:
        """Return the sets whose files may match a query."""
        fits = (1 << len(self.ids)) - 1
        open_ones: list[tuple[OwnCondition, int]] = []
        for one in query.conditions:
            key, test = keys.get(one.key), test_of(one)
            values = self._having.get(one.key, {})
            good = without = 0
            for value, places in values.items():
                without |= places
                if test(value):
                    good |= places
            without = ~without & fits
            if key is not None and key[1]:
                own = OwnCondition(one.key, key[0], test, tuple(_ranges(one)))
                open_ones.append((own, without))
                good |= without
            elif test(None):
                good |= without
            fits &= good
        # Conditions with an index come first; among them, those with the fewest ranges.
        open_ones.sort(key=lambda pair: (not pair[0].ranges, len(pair[0].ranges)))
        return list(self._judged(fits, open_ones))

    def _judged(
        self, fits: int, open_ones: Sequence[tuple[OwnCondition, int]]
    ) -> Iterator[CandidateSet]:
        """Yield the sets of these bits, each with the conditions for its files' own values."""
        masks = [(own, _text(without & fits)) for own, without in open_ones]
        known: dict[tuple[bool, ...], tuple[OwnCondition, ...]] = {}
        text = _text(fits)
        place = text.find("1")
        while place >= 0:
            which = tuple([mask[place : place + 1] == "1" for _, mask in masks])
            if which not in known:
                known[which] = tuple(
                    own for (own, _), is_open in zip(masks, which, strict=True) if is_open
                )
            yield CandidateSet(self.ids[place], known[which])
            place = text.find("1", place + 1)


def _number(places: Sequence[int]) -> int:
    """Return the number in which these bits are set."""
    octets = bytearray((places[-1] >> 3) + 1)
    for place in places:
        octets[place >> 3] |= 1 << (place & 7)
    return int.from_bytes(octets, "little")


def _text(number: int) -> str:
    """Return the bits as a text, lowest bit first."""
    return f"{number:b}"[::-1]


class MetaSets:
    """The sets of all communities. Reader threads share them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bits: defaultdict[int, _Bits] = defaultdict(_Bits)
        self._metadata: dict[int, Metadata] = {}
        self._size = 0  # of the cached metadata
        self._judged: OrderedDict[object, tuple[int, list[CandidateSet]]] = OrderedDict()

    def of(self, session: Session, set_ids: Sequence[int]) -> dict[int, Metadata]:
        """Return the metadata of these sets by id."""
        with session.holding(self._lock):
            found = {one: self._metadata[one] for one in set_ids if one in self._metadata}
            missing = sorted({one for one in set_ids if one not in found})
            if missing:
                for row in session.rows("meta_sets_given", {"ids": json_list(missing)}):
                    found[row[0]] = self._kept(row[0], row[1])
            return found

    def _kept(self, set_id: int, text: str) -> Metadata:
        """Decode the metadata of a set, and cache them."""
        known = self._metadata.get(set_id)
        if known is None:
            if self._size > METADATA_MAX:
                self._metadata.clear()
                self._size = 0
            known = self._metadata[set_id] = decode(text)
            self._size += len(text) + _WEIGHT
        return known

    def judged(
        self, session: Session, community_id: int, query: Query, keys: KnownKeys
    ) -> list[CandidateSet]:
        """Return the sets whose files may match a query, in order of id."""
        known = (community_id, query_key(query), tuple(sorted(keys.items())))
        with session.holding(self._lock):
            bits = self._bits[community_id]
            self._refresh(session, community_id, bits)
            seen, found = self._judged.get(known, (-1, []))
            if seen < len(bits.ids):
                found = bits.judge(query, keys)
                self._judged[known] = (len(bits.ids), found)
                self._judged.move_to_end(known)
                self._make_room()
            self._judged.move_to_end(known)
            return found

    def _make_room(self) -> None:
        """Drop the queries that were asked longest ago."""
        kept = sum(len(found) for _, found in self._judged.values())
        while len(self._judged) > 1 and (len(self._judged) > JUDGED_MAX or kept > JUDGED_SETS_MAX):
            _, (_, found) = self._judged.popitem(last=False)
            kept -= len(found)

    def _refresh(self, session: Session, community_id: int, bits: _Bits) -> None:
        while True:
            after = bits.ids[-1] if bits.ids else 0
            given = {"community_id": community_id, "after": after, "limit": SETS_READ}
            rows = session.rows("meta_sets_after", given)
            bits.add([(row[0], self._kept(row[0], row[1])) for row in rows])
            if len(rows) < SETS_READ:
                return


def query_key(query: Query) -> bytes:
    """Return a key that is equal for queries with the same meaning."""
    return msgspec.json.encode(query.document(), order="sorted")


def _ranges(condition: Condition) -> Iterator[tuple[str, Any, Any]]:
    """Yield index ranges for the values that may meet a condition. Callers test each value."""
    op, value = condition.op, condition.value
    if op is Op.IN or (op is Op.EQ and not isinstance(value, tuple)):
        for one in value if isinstance(value, tuple) else (value,):
            number, text = columns(one)
            if isinstance(one, str):
                yield "own_texts", text, text
            else:
                yield "own_numbers", number, number
    elif op is Op.LIKE and isinstance(value, str):
        prefix = value.replace("?", "*").partition("*")[0]
        if prefix:
            yield "own_texts", prefix, prefix + TEXT_END
    elif op in (Op.LT, Op.LE, Op.GT, Op.GE) and not isinstance(value, tuple):
        below = op in (Op.LT, Op.LE)
        if isinstance(value, str):
            yield ("own_texts", "", value) if below else ("own_texts", value, TEXT_END)
        else:
            far = float("-inf") if below else float("inf")
            yield ("own_numbers", far, value) if below else ("own_numbers", value, far)
