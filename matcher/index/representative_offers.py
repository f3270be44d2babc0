"""Stand-ins: offers that differ in rare facts, and who stands for whom."""

from typing import Any, Final

from ..clauses.facets import Facet
from ..clauses.key_sizes import Keys

STAND_INS_MAX: Final = 16_384
KEYS_BYTES_MAX: Final = 8 << 20  # of the facts for which it is kept who stands for them
ROWS_BYTES_MAX: Final = 64 << 20  # of the rows of all stand-ins


class StandIn:
    """Offers of which the rare facts make no difference to any row."""

    __slots__ = ("rows",)

    def __init__(self, rows: int) -> None:
        self.rows = rows  # that accept these facts, as bits


class StandIns:
    """Who stands for whom among the facts that few jobs ask for.

    Offers differ in them a lot, and mostly no class minds. So they are not in the key of an offer:
    a stand-in is, the same for all that no row tells apart. What was known before a row came is
    looked at again when it is asked for: a row costs nothing when it comes.
    """

    def __init__(self) -> None:
        self._asked: list[tuple[int, Facet]] = []  # who may refuse a fact, by its place
        self.known: dict[tuple[Any, ...], StandIn] = {}
        self._keys = Keys()  # of these
        self._by_rows: dict[int, StandIn] = {}
        self._rows_bytes = 0

    def of(self, facts: tuple[Any, ...]) -> StandIn:
        """Return the stand-in for an offer that has these facts."""
        found = self.known.get(facts)
        if found is None:
            rows = -1
            for at, facet in self._asked:
                rows &= facet.accepting(facts[at])
            found = self._standing_for(rows)
            if len(self.known) >= STAND_INS_MAX or self._keys.bytes > KEYS_BYTES_MAX:
                self.known.clear()
                self._keys.clear()
            key = self._keys.key(facts)
            if key:
                self.known[key] = found
        return found

    def _standing_for(self, rows: int) -> StandIn:
        """Return the stand-in of these rows."""
        found = self._by_rows.get(rows)
        if found is None:
            its = rows.bit_length() // 8
            if len(self._by_rows) >= STAND_INS_MAX or self._rows_bytes + its > ROWS_BYTES_MAX:
                self.forget()
            self._rows_bytes += its
            found = self._by_rows[rows] = StandIn(rows)
        return found

    @property
    def answers(self) -> tuple[dict[Any, Any], ...]:
        """Return all that is kept."""
        return self.known, self._by_rows

    def ask(self, facets: list[tuple[int, Facet]]) -> None:
        """Rows were added: these are to be asked, each for the fact at a place, and all again.

        The facets remember what they answered.
        """
        self._asked = facets
        self.forget()

    def forget(self) -> None:
        """Let all stand-ins go."""
        self.known.clear()
        self._by_rows.clear()
        self._keys.clear()
        self._rows_bytes = 0

    def check(self) -> None:
        """Raise AssertionError where a stand-in does not stand for some facts: for checks."""
        for facts, stand_in in self.known.items():
            rows = -1
            for at, facet in self._asked:
                rows &= facet.accepting(facts[at])
            assert rows == stand_in.rows, f"who stands for {facts}"
