"""What a clause is: a way in which an offer can refuse a job, and all that is asked of it.

A kind of clause (`clause_kinds`) owns its rule, its facet of the index, its look at many offers and
its words in explanations. A clause is one row of the table (`clauses`).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, Final, Generic, TypeVar

from pilotage.proto.documents.job import Need

from ..types import ClassSpec, LiveOffer
from .facets import ByDemand, Facet
from .fact_bits import Column, FactBits, FactColumn

SHOWN_MAX: Final = 5  # words of a list that an explanation shows

W = TypeVar("W")
H = TypeVar("H")


class Clause(ABC, Generic[W, H]):
    """One row. What is wanted and what is had must be hashable: the index keeps both as keys."""

    is_of_class: ClassVar[bool] = False  # looks at the class and not at the need
    shows_all: ClassVar[bool] = False  # its explanation needs all offers that it refuses

    def __init__(self, name: str, fact: str, *, is_rare: bool = False) -> None:
        """`fact`: the attribute of the offer that it looks at.

        `is_rare`: few jobs ask, so the index keeps together offers that no class tells apart.
        """
        self.name: Final = name
        self.fact: Final = fact
        self.is_rare: Final = is_rare

    def wants(self, need: Need, spec: ClassSpec) -> W:
        """Return what a job wants: by default the need's field of the clause's name."""
        found: W = getattr(need, self.name)
        return found

    def has(self, offer: LiveOffer) -> H:
        """Return what an offer has."""
        found: H = getattr(offer, self.fact)
        return found

    def asks(self, wanted: W) -> bool:
        """Whether any offer can refuse this."""
        return bool(wanted)

    @abstractmethod
    def denies(self, wanted: W, had: H) -> bool:
        """Whether an offer that has this refuses a job that wants that: the rule."""

    def refuses(self, need: Need, spec: ClassSpec, offer: LiveOffer) -> bool:
        """Whether this clause alone keeps the job from the offer."""
        return self.denies(self.wants(need, spec), self.has(offer))

    # -- the index ------------------------------------------------------------------------------

    def facet(self) -> Facet:
        """Return an empty facet of the index for this clause."""
        return ByDemand(self)

    # -- many offers ----------------------------------------------------------------------------

    def column(self, facts: list[Any]) -> Column:
        """Return a column: for many offers, the fact that this clause looks at."""
        return FactColumn(facts)

    def accepting(self, wanted: W, facts: FactBits, among: int) -> int:
        """Return those of some offers that do not refuse this, as bits."""
        return self._accepting(wanted, facts, among) if self.asks(wanted) else among

    def _accepting(self, wanted: W, facts: FactBits, among: int) -> int:
        return self._asked(wanted, facts, among)

    def _asked(self, wanted: W, facts: FactBits, among: int) -> int:
        """Apply the rule to each different fact."""
        for fact, offers in facts.having.items():
            if offers & among:
                facts.questions += 1
                if self.denies(wanted, fact):
                    among &= ~offers
        return among

    # -- explanations ---------------------------------------------------------------------------

    def wanted(self, wanted: W) -> str:
        """Return what is wanted as a person reads it."""
        return str(wanted)

    def best(self, wanted: W, had: Iterable[H]) -> str:
        """Return, in words, the facts of some offers that come nearest to the demand."""
        return listed(map(str, had))

    def words(self, wanted: W) -> Iterable[str]:
        """Return the words that are wanted of those that offers choose: they may be misspelt."""
        return ()

    def words_had(self, had: H) -> Iterable[str]:
        """Return the words of an offer that could be meant by those."""
        return ()


Clauses = tuple[Clause[Any, Any], ...]


def listed(words: Iterable[str]) -> str:
    """Return the first few words in order, and how many more there are."""
    known = sorted({word for word in words if word})
    more = f" and {len(known) - SHOWN_MAX} more" if len(known) > SHOWN_MAX else ""
    return ", ".join(known[:SHOWN_MAX]) + more


def one_of(words: Iterable[str]) -> str:
    """Return words joined by "or"."""
    return listed(words).replace(", ", " or ")
