"""Representatives of offers that differ only in rare facts."""

from typing import Any, Final

from ..clauses.facets import Facet
from ..clauses.key_sizes import KeySizes

STAND_INS_MAX: Final = 16_384
KEYS_BYTES_MAX: Final = 8 << 20  # of the facts whose representative is cached
ROWS_BYTES_MAX: Final = 64 << 20  # of the rows of all representatives


class RepresentativeOffer:
    """A representative of offers whose rare facts make no difference to any row."""

    __slots__ = ("rows",)

    def __init__(self, rows: int) -> None:
        self.rows = rows  # that accept these facts, as bits


class RepresentativeOffers:
    """The representatives of all combinations of rare facts.

    Offers differ a lot in these facts, but usually no class asks for them. The key of an offer
    therefore holds a representative instead, which is the same for all offers that no row
    distinguishes. New rows cost nothing when they are added: answers are computed again when they
    are needed.
    """

    def __init__(self) -> None:
        # Facets that may refuse a fact, with the fact's place.
        self._asked: list[tuple[int, Facet]] = []
        self.known: dict[tuple[Any, ...], RepresentativeOffer] = {}
        self._keys = KeySizes()  # the cached facts
        self._by_rows: dict[int, RepresentativeOffer] = {}
        self._rows_bytes = 0

    def of(self, facts: tuple[Any, ...]) -> RepresentativeOffer:
        """Return the representative of an offer with these facts."""
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

    def _standing_for(self, rows: int) -> RepresentativeOffer:
        """Return the representative with these rows."""
        found = self._by_rows.get(rows)
        if found is None:
            its = rows.bit_length() // 8
            if len(self._by_rows) >= STAND_INS_MAX or self._rows_bytes + its > ROWS_BYTES_MAX:
                self.forget()
            self._rows_bytes += its
            found = self._by_rows[rows] = RepresentativeOffer(rows)
        return found

    @property
    def answers(self) -> tuple[dict[Any, Any], ...]:
        """Return the caches."""
        return self.known, self._by_rows

    def ask(self, facets: list[tuple[int, Facet]]) -> None:
        """Check these facets, each for the fact at a place, from now on, because rows were added.

        The facets keep their own answers.
        """
        self._asked = facets
        self.forget()

    def forget(self) -> None:
        """Clear the caches."""
        self.known.clear()
        self._by_rows.clear()
        self._keys.clear()
        self._rows_bytes = 0

    def check(self) -> None:
        """Raise AssertionError if some facts have a wrong representative. For checks only."""
        for facts, stand_in in self.known.items():
            rows = -1
            for at, facet in self._asked:
                rows &= facet.accepting(facts[at])
            assert rows == stand_in.rows, f"who stands for {facts}"
