"""One index for each community. Separate indexes keep the sets of rows small."""

from operator import attrgetter
from typing import Any, Final

from ..clauses.clause import Clauses
from ..clauses.clause_kinds import of_kinds
from ..limits.fair_shares import Shares
from ..limits.running_limits import Kinds, LimitTable, Shut
from ..queue.backlog import Backlog
from ..queue.job_classes import JobClass
from ..rules import Rules
from ..types import LiveOffer
from .class_index import ClassIndex, FoundClass

SLACK: Final = 64  # forgotten classes that are not worth a new index
LOOKS: Final = 4  # classes that may be forgotten are checked, this many for each forgotten one
STEP: Final = 16  # classes that a new index inherits at a time


class IndexBuild:
    """A new index, and the number of rows of the old one that it has processed."""

    __slots__ = ("index", "seen")

    def __init__(self, index: ClassIndex) -> None:
        self.index = index
        self.seen = 0


class Indexes:
    """The indexes of all communities."""

    def __init__(
        self, backlog: Backlog, clauses: Clauses, shares: Shares, limits: LimitTable, rules: Rules
    ) -> None:
        self._backlog, self._shares, self._limits, self._rules = backlog, shares, limits, rules
        self._clauses = clauses
        self.kind_clauses = of_kinds(clauses)  # in the order of a kind's facts
        self._kind_of = attrgetter(*[it.fact for it in self.kind_clauses])
        self._of: dict[str, ClassIndex] = {}
        self._coming: dict[str, IndexBuild] = {}
        self._fading: list[ClassIndex] = []  # indexes that others have replaced

    # -- classes ----------------------------------------------------------------------------------

    def add(self, cls: JobClass) -> None:
        """Add a class."""
        community = cls.spec.community
        index = self._of.get(community)
        if index is None:
            index = self._of[community] = self._new(community)
        index.add(cls)
        self.step()

    def forget(self, cls: JobClass) -> None:
        """Forget a class: its rows are empty from now on."""
        community = cls.spec.community
        index = self._of[community]
        index.known -= 1
        index.forgotten += 1
        cls.watcher = None
        if index.forgotten > index.known + SLACK:
            self.renew(community)
        self.step()

    def renew(self, community: str) -> None:
        """Begin a new index for a community, without the rows of forgotten classes.

        Each class takes some time, so `step` builds it while the old index still serves.
        """
        if community not in self._coming:
            coming = self._coming[community] = IndexBuild(self._new(community))
            self._of[community].heir = coming.index

    def step(self, most: int = STEP) -> None:
        """Continue the running work, for at most this many classes.

        The memory of an old index is freed in steps too, because that takes as long as to build it.
        """
        for community, coming in list(self._coming.items()):
            old, classes = self._of[community], self._backlog.classes
            inherited = 0
            for _ in range(LOOKS * most):
                if inherited == most or coming.seen == old.size:
                    break
                cls, coming.seen = old.class_at(coming.seen)
                if cls in classes:
                    coming.index.inherit(cls)
                    inherited += 1
            if coming.seen == old.size:
                del self._coming[community]
                coming.index.take_over(classes.by_id)
                self._of[community] = coming.index
                self._fading.append(old)
        if self._fading and not self._fading[-1].fade(LOOKS * most):
            self._fading.pop()

    def compact(self) -> None:
        """Free the memory of forgotten classes at once."""
        for community in self._of:
            self.renew(community)
        while self._coming or self._fading:
            self.step()

    def limits_changed(self) -> None:
        """Adapt to changed limits."""
        for index in [*self._of.values(), *[coming.index for coming in self._coming.values()]]:
            index.limits_changed()

    def _new(self, community: str) -> ClassIndex:
        return ClassIndex(
            self._backlog,
            self._clauses,
            self._limits,
            self._rules,
            self._shares,
            self._shares.root.children[community],
        )

    @property
    def size(self) -> int:
        """The number of rows."""
        return sum(index.size for index in self._of.values())

    def all(self) -> list[ClassIndex]:
        return list(self._of.values())

    def of(self, community: str) -> ClassIndex | None:
        """Return the index of a community; None if it has no class."""
        return self._of.get(community)

    def best(self, offer: LiveOffer) -> FoundClass | None:
        """Return the class of the first job and the index of its need; None if there is none."""
        index = self._of.get(offer.community)
        return index.best(offer) if index is not None else None

    def kind_rows(self, offer: LiveOffer) -> int:
        """Return the rows of its community that accept an offer, without the numbers, as bits."""
        index = self._of.get(offer.community)
        return index.kind_rows(offer) if index is not None else 0

    def place_for(self, cls: JobClass, offer: LiveOffer) -> int | None:
        """Return the index of the first need of a class that fits and may start; else None."""
        return self._of[cls.spec.community].place_for(cls, offer)

    def kinds_of(self, cls: JobClass, place: int) -> Kinds:
        """Return the kinds with limits to which one need of a class belongs."""
        return self._of[cls.spec.community].kinds_of(cls, place)

    def all_kinds_of(self, cls: JobClass) -> Kinds:
        """Return the kinds with limits to which any need of a class belongs."""
        return {
            kind: takes
            for need in range(len(cls.spec.needs))
            for kind, takes in self.kinds_of(cls, need).items()
        }

    def closed_needs(self, closed: tuple[Shut, ...], cls: JobClass) -> int:
        """Return which needs of a class may not start while these kinds are closed, as bits."""
        return self._of[cls.spec.community].closed_needs(closed, cls)

    def kind(self, offer: LiveOffer) -> tuple[Any, ...]:
        """Return the facts of an offer that clauses read, without the numbers."""
        found: tuple[Any, ...] = self._kind_of(offer)
        return found
