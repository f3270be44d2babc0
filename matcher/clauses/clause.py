"""The base of all clauses. A clause is one way in which an offer can refuse a job.

A kind of clause (`clause_kinds`) holds its rule, its facet of the index, its check of many offers
and its words in explanations. A clause is one row of the table (`clause_table`).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, Final, Generic, TypeVar

from pilotage.proto.documents.job import Need

from ..types import ClassSpec, LiveOffer
from .facets import ByDemand, Facet
from .fact_bits import Column, FactBits, FactColumn

SHOWN_MAX: Final = 5  # words of a list in an explanation

W = TypeVar("W")
H = TypeVar("H")


class Clause(ABC, Generic[W, H]):
    """One row of the table. Demands and facts are keys of the index, so they must be hashable."""

    is_of_class: ClassVar[bool] = False  # whether it reads the class, not the need
    shows_all: ClassVar[bool] = False  # whether its explanation needs all offers that it refuses

    def __init__(self, name: str, fact: str, *, is_rare: bool = False) -> None:
        """Make a clause about the attribute `fact` of offers.

        `is_rare`: few jobs ask for it, so the index groups the offers that no class distinguishes.
        """
        self.name: Final = name
        self.fact: Final = fact
        self.is_rare: Final = is_rare

    def wants(self, need: Need, spec: ClassSpec) -> W:
        """Return the demand of a job: by default the need's field with the clause's name."""
        found: W = getattr(need, self.name)
        return found

    def has(self, offer: LiveOffer) -> H:
        """Return the fact of an offer."""
        found: H = getattr(offer, self.fact)
        return found

    def asks(self, wanted: W) -> bool:
        """Return whether any offer can refuse this demand."""
        return bool(wanted)

    @abstractmethod
    def denies(self, wanted: W, had: H) -> bool:
        """Return whether an offer with this fact refuses a job with this demand: the rule."""

    def refuses(self, need: Need, spec: ClassSpec, offer: LiveOffer) -> bool:
        """Return whether this clause alone refuses the job."""
        return self.denies(self.wants(need, spec), self.has(offer))

    # -- the index --------------------------------------------------------------------------------

    def facet(self) -> Facet:
        """Return an empty facet of the index for this clause."""
        return ByDemand(self)

    # -- many offers ------------------------------------------------------------------------------

    def column(self, facts: list[Any]) -> Column:
        """Return a column: the fact of this clause for many offers."""
        return FactColumn(facts)

    def accepting(self, wanted: W, facts: FactBits, among: int) -> int:
        """Return the offers of a column that accept this demand, as bits."""
        return self._accepting(wanted, facts, among) if self.asks(wanted) else among

    def _accepting(self, wanted: W, facts: FactBits, among: int) -> int:
        return self._asked(wanted, facts, among)

    def _asked(self, wanted: W, facts: FactBits, among: int) -> int:
        """Apply the rule once to each different fact."""
        for fact, offers in facts.having.items():
            if offers & among:
                facts.questions += 1
                if self.denies(wanted, fact):
                    among &= ~offers
        return among

    # -- explanations -----------------------------------------------------------------------------

    def wanted(self, wanted: W) -> str:
        """Return the demand in words."""
        return str(wanted)

    def best(self, wanted: W, had: Iterable[H]) -> str:
        """Return, in words, the facts of some offers that come nearest to the demand."""
        return listed(map(str, had))

    def words(self, wanted: W) -> Iterable[str]:
        """Return the demanded words that offers choose freely, because they may be misspelt."""
        return ()

    def words_had(self, had: H) -> Iterable[str]:
        """Return the words of an offer that the user may have meant by the given words."""
        return ()


Clauses = tuple[Clause[Any, Any], ...]


def listed(words: Iterable[str]) -> str:
    """Return the first few words in order, and the number of the others."""
    known = sorted({word for word in words if word})
    more = f" and {len(known) - SHOWN_MAX} more" if len(known) > SHOWN_MAX else ""
    return ", ".join(known[:SHOWN_MAX]) + more


def one_of(words: Iterable[str]) -> str:
    """Return words joined by "or"."""
    return listed(words).replace(", ", " or ")
