"""One index for each community: they never mix, and sets of rows are the smaller for it."""

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
from .class_index import ClassIndex, Found

SLACK: Final = 64  # forgotten classes that are not worth a new index
LOOKS: Final = 4  # for each of them, so many that may be forgotten are looked at
STEP: Final = 16  # classes that a new index inherits each time


class IndexBuild:
    """A new index, and how many rows of the old one it has looked at."""

    __slots__ = ("index", "seen")

    def __init__(self, index: ClassIndex) -> None:
        self.index = index
        self.seen = 0


class Indexes:
    """Finds classes for offers, each in the index of its community."""

    def __init__(
        self, backlog: Backlog, clauses: Clauses, shares: Shares, limits: LimitTable, rules: Rules
    ) -> None:
        self._backlog, self._shares, self._limits, self._rules = backlog, shares, limits, rules
        self._clauses = clauses
        self.kind_clauses = of_kinds(clauses)  # in the order of a kind's facts
        self._kind_of = attrgetter(*[it.fact for it in self.kind_clauses])
        self._of: dict[str, ClassIndex] = {}
        self._coming: dict[str, IndexBuild] = {}
        self._fading: list[ClassIndex] = []  # which others have replaced

    # -- classes --------------------------------------------------------------------------------

    def add(self, cls: JobClass) -> None:
        """Take up a class."""
        community = cls.spec.community
        index = self._of.get(community)
        if index is None:
            index = self._of[community] = self._new(community)
        index.add(cls)
        self.step()

    def forget(self, cls: JobClass) -> None:
        """A class is known no more: its rows are empty from now on."""
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

        That takes some time for each class, so it is done in steps while the old one still serves.
        """
        if community not in self._coming:
            coming = self._coming[community] = IndexBuild(self._new(community))
            self._of[community].heir = coming.index

    def step(self, most: int = STEP) -> None:
        """Go on with what is begun, for so many classes at most.

        To give back all at once what an old index holds would take as long as to make it.
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
        """Give back the room of forgotten classes at once."""
        for community in self._of:
            self.renew(community)
        while self._coming or self._fading:
            self.step()

    def limits_changed(self) -> None:
        """Other limits hold from now on."""
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
        """Return the index of a community, None where none of its classes is known."""
        return self._of.get(community)

    def best(self, offer: LiveOffer) -> Found | None:
        """Return the class of the job that comes first, and which of its needs; or None."""
        index = self._of.get(offer.community)
        return index.best(offer) if index is not None else None

    def kind_rows(self, offer: LiveOffer) -> int:
        """Return the rows of its community that may accept an offer, numbers aside, as bits."""
        index = self._of.get(offer.community)
        return index.kind_rows(offer) if index is not None else 0

    def place_for(self, cls: JobClass, offer: LiveOffer) -> int | None:
        """Return the first of the needs of a class that fits and may start, or None."""
        return self._of[cls.spec.community].place_for(cls, offer)

    def kinds_of(self, cls: JobClass, place: int) -> Kinds:
        """Return the kinds with limits to which one alternative of a class belongs."""
        return self._of[cls.spec.community].kinds_of(cls, place)

    def all_kinds_of(self, cls: JobClass) -> Kinds:
        """Return the kinds with limits to which any alternative of a class belongs."""
        return {
            kind: takes
            for need in range(len(cls.spec.needs))
            for kind, takes in self.kinds_of(cls, need).items()
        }

    def closed_needs(self, closed: tuple[Shut, ...], cls: JobClass) -> int:
        """Return which needs of a class may not start where this is closed, as bits."""
        return self._of[cls.spec.community].closed_needs(closed, cls)

    def kind(self, offer: LiveOffer) -> tuple[Any, ...]:
        """Return what the clauses see of an offer, numbers aside."""
        found: tuple[Any, ...] = self._kind_of(offer)
        return found
