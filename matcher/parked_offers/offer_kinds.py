"""Kinds of parked offers, which differ only in numbers, and the kinds that accept a class.

Each kind is one bit. Words tell which kinds accept a class (`fact_bits`), or the clause is checked
once for each different fact, not for each kind. The answer is cached, and only new kinds are
checked.
"""

from collections.abc import Iterable
from typing import Any, Final

from ..clauses.clause import Clause, Clauses
from ..clauses.fact_bits import FactBits
from ..clauses.key_sizes import weight
from ..limits.running_limits import ElementLimits
from ..queue.job_classes import JobClass
from ..types import ClassSpec

TAKERS_MAX: Final = 4_096  # classes with a cached answer
GONE_BYTES_MAX: Final = 2 << 20  # of the facts of kinds without offers; with their bits twice that
NEW_MAX: Final = 32  # new kinds that are checked one by one

Numbers = tuple[float, ...]  # in the order of the table: cores, memory, …
Joint = list[tuple[Clause[Any, Any], Any]]  # clauses about several numbers, and their demands

# The order of free offers. Offers that were woken least often without an answer come first, so that
# a dead pilot does not draw every job; then the offers that leave least unused.
Standing = tuple[int, Numbers, str]


class OfferKind:
    """Offers with the same facts."""

    __slots__ = ("facts", "free", "key", "place", "serial", "site")

    def __init__(
        self, key: tuple[Any, ...], facts: tuple[Any, ...], site: str, place: ElementLimits | None
    ) -> None:
        self.key = key
        self.facts = facts
        self.site = site
        self.place = place
        self.serial = 0
        self.free: list[Standing] = []


class AcceptingKinds:
    """The kinds that accept a class, without numbers, and the numbers that the class demands."""

    __slots__ = ("demands", "joint", "kinds", "known", "lowest", "needs", "sites", "spec")

    def __init__(self, spec: ClassSpec, numbers: Clauses, joint: Clauses) -> None:
        self.spec = spec
        self.demands: list[Numbers] = [
            tuple([clause.wants(need, spec) for clause in numbers]) for need in spec.needs
        ]
        self.joint: list[Joint] = [  # for each need, the joint clauses with a demand
            [(it, wants) for it in joint if it.asks(wants := it.wants(need, spec))]
            for need in spec.needs
        ]
        self.lowest = min(demand[0] for demand in self.demands)  # cores
        sites = {site for need in spec.needs for site in need.sites}
        self.sites = sites if all(need.sites for need in spec.needs) else None  # None: anywhere
        self.needs = [0] * len(spec.needs)  # for each need, the kinds that meet it, as bits
        self.kinds = 0  # that meet any need
        self.known = 0  # number of kinds that were checked


class OfferKinds:
    """All recent kinds, by key and by number."""

    def __init__(self, clauses: Clauses, numbers: Clauses, joint: Clauses) -> None:
        """Take the clauses that are neither numbers nor joint, in the order of a kind's facts."""
        self._clauses, self._numbers, self._joint = clauses, numbers, joint
        self._by_key: dict[tuple[Any, ...], OfferKind] = {}
        self.all: list[OfferKind] = []
        self._facts = [FactBits() for _ in clauses]
        self._takers: dict[int, AcceptingKinds] = {}  # by slot
        self._bytes = self._kept_bytes = 0  # of the facts: of all kinds, and of those kept last

    def __len__(self) -> int:
        return len(self.all)

    @property
    def are_heavy(self) -> bool:
        """Whether enough facts have arrived since the last `keep` to call it again."""
        return self._bytes > 2 * self._kept_bytes + GONE_BYTES_MAX

    def find(self, key: tuple[Any, ...]) -> OfferKind | None:
        return self._by_key.get(key)

    def add(self, kind: OfferKind) -> None:
        """Add an unknown kind."""
        kind.serial = len(self.all)
        self._by_key[kind.key] = kind
        self.all.append(kind)
        self._bytes += weight(kind.facts)
        for facts, fact in zip(self._facts, kind.facts, strict=True):
            facts.add(fact)

    def keep(self, kinds: Iterable[OfferKind]) -> None:
        """Forget all other kinds, and the answers for classes."""
        kept = list(dict.fromkeys(kinds))
        self._by_key.clear()
        self.all.clear()
        self._facts = [FactBits() for _ in self._clauses]
        self._takers.clear()
        self._bytes = 0
        for kind in kept:
            self.add(kind)
        self._kept_bytes = self._bytes

    def some(self, bits: int) -> list[OfferKind]:
        """Return the kinds of these bits, which are few."""
        found: list[OfferKind] = []
        while bits:
            found.append(self.all[bits.bit_length() - 1])
            bits ^= 1 << found[-1].serial
        return found

    def takers(self, cls: JobClass) -> AcceptingKinds:
        """Return which kinds accept a class, without numbers and limits."""
        takers = self._takers.get(cls.slot)
        if takers is None or takers.spec is not cls.spec:
            if len(self._takers) >= TAKERS_MAX:
                self._takers.clear()
            takers = self._takers[cls.slot] = AcceptingKinds(cls.spec, self._numbers, self._joint)
        if takers.known < len(self.all):
            self._extend(takers)
        return takers

    def _extend(self, takers: AcceptingKinds) -> None:
        """Check the new kinds."""
        spec, new = takers.spec, self.all[takers.known :]
        for place, need in enumerate(spec.needs):
            wants = [clause.wants(need, spec) for clause in self._clauses]
            if len(new) > NEW_MAX:
                takers.needs[place] = self._taking(wants)
            else:
                for kind in new:
                    if not self._denies(wants, kind):
                        takers.needs[place] |= 1 << kind.serial
            takers.kinds |= takers.needs[place]
        takers.known = len(self.all)

    def _taking(self, wants: list[Any]) -> int:
        """Return all kinds whose facts meet the demands, as bits."""
        kinds = (1 << len(self.all)) - 1
        for clause, want, facts in zip(self._clauses, wants, self._facts, strict=True):
            kinds = clause.accepting(want, facts, kinds)
            if not kinds:
                break
        return kinds

    def _denies(self, wants: list[Any], kind: OfferKind) -> bool:
        for clause, want, fact in zip(self._clauses, wants, kind.facts, strict=True):
            if clause.denies(want, fact):
                return True
        return False
