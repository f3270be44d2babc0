"""The kinds of clauses. Another clause of a kind is another row of the table (`clause_table`)."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Final, TypeVar

from pilotage.proto.documents.job import Need
from pilotage.proto.images import is_of_images
from pilotage.proto.messages import TOKENS_TAG
from pilotage.proto.storages import TAG as DATA, XROOTD_TAG

from ..platforms import ANY, runs
from ..types import ClassSpec, CountedAmounts, LiveOffer, NodeFacts, WholeNodeSize
from ..versions import Version, shown, version
from .amounts import lacking, offered
from .clause import Clause, Clauses, listed
from .facets import Facet
from .fact_bits import NO_WORDS, Column, FactBits, NumberColumn
from .tag_expressions import EVERY_TAG, TagExpression, parse
from .word_facets import ByAccepted, ByNoneOf, ByOneOf, ByRequiredTags, ByTags

W = TypeVar("W")
H = TypeVar("H")

_NO_TAGS: Final = parse("")


def _is_set_by_pilots(tag: str) -> bool:
    """Return whether pilots set this tag themselves."""
    return tag in (DATA, TOKENS_TAG, XROOTD_TAG) or is_of_images(tag)


# -- who ------------------------------------------------------------------------------------------


class OfClass(Clause[str, H]):
    """A clause about a word of the class, not of the need."""

    is_of_class: ClassVar[bool] = True

    def wants(self, need: Need, spec: ClassSpec) -> str:
        found: str = getattr(spec, self.name)
        return found

    def asks(self, wanted: str) -> bool:
        return True


class SameWord(OfClass[str]):
    """The class must have the same word as the offer."""

    def denies(self, wanted: str, had: str) -> bool:
        return wanted != had


class Accepted(OfClass[frozenset[str]]):
    """The class must have one of the words that the offer accepts; without words it accepts all."""

    def denies(self, wanted: str, had: frozenset[str]) -> bool:
        return bool(had) and wanted not in had and ANY not in had

    def facet(self) -> Facet:
        return ByAccepted(self)

    def _accepting(self, wanted: str, facts: FactBits, among: int) -> int:
        return among & (facts.saying((wanted, ANY)) | facts.any((NO_WORDS,)))

    def best(self, wanted: str, had: Iterable[frozenset[str]]) -> str:
        return listed(word for words in had for word in words)


# -- where ----------------------------------------------------------------------------------------


class OneOf(Clause[tuple[str, ...], str]):
    """The offer must have one of the words of the need, or ANY."""

    def wants(self, need: Need, spec: ClassSpec) -> tuple[str, ...]:
        found = getattr(need, self.name)
        if isinstance(found, str):
            return (found,) if found else ()
        words: tuple[str, ...] = found
        return words

    def denies(self, wanted: tuple[str, ...], had: str) -> bool:
        return bool(wanted) and had not in wanted and had != ANY

    def facet(self) -> Facet:
        return ByOneOf(self)

    def _accepting(self, wanted: tuple[str, ...], facts: FactBits, among: int) -> int:
        return among & facts.any({*wanted, ANY})

    def wanted(self, wanted: tuple[str, ...]) -> str:
        return " or ".join(wanted)

    def words(self, wanted: tuple[str, ...]) -> Iterable[str]:
        return wanted

    def words_had(self, had: str) -> Iterable[str]:
        return (had,)


class NoneOf(Clause[tuple[str, ...], str]):
    """The offer must have none of the words of the need."""

    def denies(self, wanted: tuple[str, ...], had: str) -> bool:
        return had in wanted

    def facet(self) -> Facet:
        return ByNoneOf(self)

    def _accepting(self, wanted: tuple[str, ...], facts: FactBits, among: int) -> int:
        return among & ~facts.any(wanted)

    def wanted(self, wanted: tuple[str, ...]) -> str:
        return "not " + " or ".join(wanted)


# -- what a node is -------------------------------------------------------------------------------


class Platform(Clause[str, str]):
    """The offer's platform must run jobs for the platform of the need."""

    def __init__(self, name: str, fact: str, compatible: Mapping[str, tuple[str, ...]]) -> None:
        """Take `compatible`: platform of an offer → other platforms whose jobs it runs."""
        super().__init__(name, fact)
        self._compatible: Final = compatible

    def denies(self, wanted: str, had: str) -> bool:
        return bool(wanted) and not runs(wanted, had, self._compatible)

    def words(self, wanted: str) -> Iterable[str]:
        return (wanted,)

    def words_had(self, had: str) -> Iterable[str]:
        return (had,)


class Range(Clause[tuple[Any, Any], H]):
    """The offer's value must be known, at least one number and perhaps at most another."""

    def asks(self, wanted: tuple[Any, Any]) -> bool:
        return any(wanted)

    def _lies_outside(self, wanted: tuple[Any, Any], had: Any) -> bool:
        """Return whether a value is outside a range. An unknown value is outside every range."""
        low, high = wanted
        if not had:
            return bool(low or high)
        return bool(had < low or high and had > high)


class ProcessorLevel(Range[int]):
    """The level of an x86-64 processor must lie in a range."""

    def wants(self, need: Need, spec: ClassSpec) -> tuple[int, int]:
        return need.architecture_level_min, need.architecture_level_max

    def denies(self, wanted: tuple[int, int], had: int) -> bool:
        return self._lies_outside(wanted, had)

    def wanted(self, wanted: tuple[int, int]) -> str:
        least = f"v{wanted[0]} or higher" if wanted[0] else ""
        most = f"v{wanted[1]} or lower" if wanted[1] else ""
        return "x86-64 " + " and ".join(part for part in (least, most) if part)

    def best(self, wanted: tuple[int, int], had: Iterable[int]) -> str:
        levels = set(had)
        low, high = wanted[0], wanted[1] or 99
        nearest = min(levels - {0}, key=lambda one: max(low - one, one - high), default=None)
        if nearest is None:
            return "no x86-64" if levels else ""
        return f"v{nearest}"


class NodeVersion(Range[NodeFacts]):
    """The node's version of the clause's name must be in a range."""

    def __init__(self, name: str, least: str, most: str = "") -> None:
        """Take the fields of a need with the oldest (`least`) and the newest (`most`) version."""
        super().__init__(name, "node", is_rare=True)
        self.least: Final = least
        self.most: Final = most

    def wants(self, need: Need, spec: ClassSpec) -> tuple[Version, Version]:
        most = version(getattr(need, self.most)) if self.most else ()
        return version(getattr(need, self.least)), most

    def of(self, node: NodeFacts) -> Version:
        """Return the version of a node."""
        found: Version = getattr(node, self.name)
        return found

    def denies(self, wanted: tuple[Version, Version], had: NodeFacts) -> bool:
        return self._lies_outside(wanted, self.of(had))

    def wanted(self, wanted: tuple[Version, Version]) -> str:
        low, high = wanted
        parts = (f"{shown(low)} or newer" if low else "", f"{shown(high)} or older" if high else "")
        return " and ".join(part for part in parts if part)

    def best(self, wanted: tuple[Version, Version], had: Iterable[NodeFacts]) -> str:
        versions = set(map(self.of, had))
        too_old = [one for one in versions if one and one < wanted[0]]
        others = versions - {(), *too_old}
        return shown(max(too_old) if too_old else min(others, default=()))


class NodeFlag(Clause[Any, NodeFacts]):
    """The node must allow something, if the need asks for it."""

    def __init__(self, name: str, flag: str, *, allowed: str = "", lacking: str) -> None:
        """Take the node's fact (`flag`) and the demand in words (`allowed`).

        `lacking`: the words for nodes that do not allow it.
        """
        super().__init__(name, "node", is_rare=True)
        self._flag: Final = flag
        self._allowed: Final = allowed
        self._lacking: Final = lacking

    def denies(self, wanted: Any, had: NodeFacts) -> bool:
        return bool(wanted) and not getattr(had, self._flag)

    def wanted(self, wanted: Any) -> str:
        return self._allowed or str(wanted)

    def best(self, wanted: Any, had: Iterable[NodeFacts]) -> str:
        return self._lacking


class NodeWord(Clause[str, NodeFacts]):
    """The node must have the need's word for the clause's name."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "node", is_rare=True)

    def denies(self, wanted: str, had: NodeFacts) -> bool:
        return bool(wanted) and wanted != getattr(had, self.name)

    def best(self, wanted: str, had: Iterable[NodeFacts]) -> str:
        return listed(getattr(node, self.name) for node in had) or "not known"

    def words(self, wanted: str) -> Iterable[str]:
        return (wanted,)

    def words_had(self, had: NodeFacts) -> Iterable[str]:
        return (getattr(had, self.name),)


class NodeSize(Clause[int, NodeFacts]):
    """The node must have this many MB or more of something that jobs do not use up."""

    def __init__(self, name: str, size: str) -> None:
        """Take `size`: the field of a need and the node's fact."""
        super().__init__(name, "node", is_rare=True)
        self._size: Final = size

    def wants(self, need: Need, spec: ClassSpec) -> int:
        found: int = getattr(need, self._size)
        return found

    def denies(self, wanted: int, had: NodeFacts) -> bool:
        most: int = getattr(had, self._size)
        return wanted > most

    def wanted(self, wanted: int) -> str:
        return f"{wanted} MB"

    def best(self, wanted: int, had: Iterable[NodeFacts]) -> str:
        return f"{max((getattr(node, self._size) for node in had), default=0)} MB"


# -- free capacity --------------------------------------------------------------------------------


class Capacity(Clause[W, H]):
    """The offer must have enough free capacity.

    Each job changes the free capacity, so it is not part of a kind of offers.
    """

    @abstractmethod
    def lack(self, wanted: W, now: LiveOffer, empty: LiveOffer) -> str:
        """Return, in words, the free capacity of an offer and its capacity when it is empty."""

    @property
    def label(self) -> str:
        """Return the clause's name in words."""
        return "GPUs" if self.name == "gpus" else self.name.replace("_", " ")


class AtLeast(Capacity[Any, Any]):
    """This much or more of one resource must be free."""

    def __init__(
        self, name: str, fact: str, demand: Callable[[Need], Any], unit: str = "", unknown: str = ""
    ) -> None:
        """Take `unknown`, the word for a zero that means "not measured"."""
        super().__init__(name, fact)
        self._demand: Final = demand
        self._unit: Final = unit
        self._unknown: Final = unknown

    def wants(self, need: Need, spec: ClassSpec) -> Any:
        return self._demand(need)

    def denies(self, wanted: Any, had: Any) -> bool:
        return bool(wanted > had)

    def column(self, facts: list[Any]) -> Column:
        return NumberColumn(facts)

    def wanted(self, wanted: Any) -> str:
        return f"{wanted:.0f} {self._unit}".rstrip()

    def best(self, wanted: Any, had: Iterable[Any]) -> str:
        most = max(had, default=None)
        if most is None:
            return ""
        return f"{int(most)} {self._unit}".rstrip() if most or not self._unknown else self._unknown

    def lack(self, wanted: Any, now: LiveOffer, empty: LiveOffer) -> str:
        unit = " MB" if self._unit == "MB" else ""
        return f"{self.label} {self.has(now):.0f} of {self.has(empty):.0f}{unit}"


class JointCapacity(Capacity[W, H]):
    """Several numbers together must be enough."""


# Total memory and memory for each core in MB, CPU work in HS23 s; empty if no whole node is asked
# for.
_Whole = tuple[int, ...]


class WholeNode(JointCapacity[_Whole, WholeNodeSize | None]):
    """Nothing of the node may be taken, and all its cores together must be enough."""

    def wants(self, need: Need, spec: ClassSpec) -> _Whole:
        if not need.whole_node:
            return ()
        # Otherwise the clause for memory checks it.
        in_all_mb = need.memory_mb if need.memory_per_core_mb else 0
        return (in_all_mb, need.memory_per_core_mb, need.cpu_work_hs23_s)

    def denies(self, wanted: _Whole, had: WholeNodeSize | None) -> bool:
        if not wanted:
            return False
        if had is None:
            return True
        in_all_mb, per_core_mb, work_hs23_s = wanted
        cores, memory_mb, core_work_hs23_s = had
        return in_all_mb + per_core_mb * cores > memory_mb or work_hs23_s > core_work_hs23_s * cores

    def wanted(self, wanted: _Whole) -> str:
        parts = ["nothing taken"]
        if wanted:
            in_all_mb, per_core_mb, work_hs23_s = wanted
            if per_core_mb:
                parts.append(f"{in_all_mb} MB and " * bool(in_all_mb) + f"{per_core_mb} MB a core")
            if work_hs23_s:
                parts.append(f"{work_hs23_s} HS23 s on all cores together")
        return ", ".join(parts)

    def best(self, wanted: _Whole, had: Iterable[WholeNodeSize | None]) -> str:
        most = max((one[1:] + one[:1] for one in had if one), default=None)
        if most is None:
            return "all partly taken"
        memory_mb, work_hs23_s, cores = most
        work = f", {work_hs23_s * cores:.0f} HS23 s" if work_hs23_s else ""
        return f"{cores} cores with {memory_mb} MB{work}"

    def lack(self, wanted: _Whole, now: LiveOffer, empty: LiveOffer) -> str:
        if now.cores_free < now.cores:
            return f"cores {now.cores_free} of {now.cores}, and it takes the whole node"
        if now.memory_free_mb < empty.memory_free_mb:
            return f"memory {now.memory_free_mb} of {empty.memory_free_mb} MB"
        return f"work {now.core_work_left_hs23_s:.0f} of {empty.core_work_left_hs23_s:.0f} a core"


class NamedAmounts(JointCapacity[CountedAmounts, CountedAmounts | None]):
    """The wanted named amounts must be free."""

    def wants(self, need: Need, spec: ClassSpec) -> CountedAmounts:
        return offered(need)

    def denies(self, wanted: CountedAmounts, had: CountedAmounts | None) -> bool:
        return bool(lacking(wanted, had))

    def wanted(self, wanted: CountedAmounts) -> str:
        return ", ".join(f"{name} {it}" for name, it in wanted)

    def best(self, wanted: CountedAmounts, had: Iterable[CountedAmounts | None]) -> str:
        """Return the largest number of each wanted amount that any offer has."""
        most = {name: 0 for name, _ in wanted}
        for name, free in [pair for one in had for pair in one or () if pair[0] in most]:
            most[name] = max(most[name], free)
        return ", ".join(f"{name} {free}" if free else f"no {name}" for name, free in most.items())

    def lack(self, wanted: CountedAmounts, now: LiveOffer, empty: LiveOffer) -> str:
        free, all_of_it = now.amounts_free, empty.amounts_free
        return ", ".join(
            f"{name} {free.get(name, 0)} of {all_of_it.get(name, 0)}"
            for name, _ in lacking(wanted, now.counted)
        )


def numbers(clauses: Clauses) -> tuple[AtLeast, ...]:
    """Return the clauses about one number."""
    return tuple([it for it in clauses if isinstance(it, AtLeast)])


def joint(clauses: Clauses) -> tuple[JointCapacity[Any, Any], ...]:
    """Return the clauses about several numbers."""
    return tuple([it for it in clauses if isinstance(it, JointCapacity)])


def of_kinds(clauses: Clauses) -> Clauses:
    """Return the other clauses. The facts that they read make up a kind of offers."""
    return tuple([it for it in clauses if not isinstance(it, Capacity)])


# -- tags -----------------------------------------------------------------------------------------


class Tags(Clause[TagExpression, frozenset[str]]):
    """The offer's tags must meet the need's expression."""

    # Other clauses may refuse none of the offers that the tags exclude.
    shows_all: ClassVar[bool] = True

    def wants(self, need: Need, spec: ClassSpec) -> TagExpression:
        return parse(need.tags)

    def asks(self, wanted: TagExpression) -> bool:
        return wanted is not _NO_TAGS and wanted != _NO_TAGS

    def denies(self, wanted: TagExpression, had: frozenset[str]) -> bool:
        return not wanted.holds(EVERY_TAG if ANY in had else had)

    def facet(self) -> Facet:
        return ByTags(self)

    def _accepting(self, wanted: TagExpression, facts: FactBits, among: int) -> int:
        """Apply the rule only to sets with ANY, and to expressions that choices express in part."""
        have_any = among & facts.saying((ANY,))
        met = among ^ have_any
        choices = wanted.choices
        for must, without in choices.each:
            lacking_one: int = 0
            for word in without:
                lacking_one |= met & ~facts.saying((word,))
            met &= lacking_one | facts.saying(must)
        if choices.says_all:
            return met | self._asked(wanted, facts, have_any)
        return self._asked(wanted, facts, met | have_any)

    def best(self, wanted: TagExpression, had: Iterable[frozenset[str]]) -> str:
        """Return the tag set with the most of the wanted tags and few others.

        If no set has any, return the tags of some offer as an example of their form. Tags that
        pilots set themselves, for images, data and tokens, are left out unless the need asks for
        them.
        """
        nearest = min(
            (
                frozenset(tag for tag in tags if tag in wanted.named or not _is_set_by_pilots(tag))
                for tags in had
            ),
            key=lambda tags: (-len(tags & wanted.named), not tags, len(tags), sorted(tags)),
            default=(),
        )
        return listed(nearest) or "no tags"

    def words(self, wanted: TagExpression) -> Iterable[str]:
        return wanted.named

    def words_had(self, had: frozenset[str]) -> Iterable[str]:
        return had


class RequiredTags(Clause[frozenset[str], frozenset[str]]):
    """The need must ask for all tags that the offer requires."""

    def wants(self, need: Need, spec: ClassSpec) -> frozenset[str]:
        return parse(need.tags).named

    def asks(self, wanted: frozenset[str]) -> bool:
        return True

    def denies(self, wanted: frozenset[str], had: frozenset[str]) -> bool:
        return not had <= wanted

    def facet(self) -> Facet:
        return ByRequiredTags(self)

    def wanted(self, wanted: frozenset[str]) -> str:
        return "asks for " + (listed(wanted) or "no tag")

    def best(self, wanted: frozenset[str], had: Iterable[frozenset[str]]) -> str:
        nearest = min(had, key=lambda tags: (len(tags - wanted), sorted(tags)), default=())
        return "requires " + (listed(nearest) or "nothing")
