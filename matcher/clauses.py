"""The table of clauses: everything by which an offer can refuse a job.

A clause is what a job wants, what an offer has, and whether the one denies the other. The exact
rule, the index and the explanations are all driven by this table, so that they cannot disagree:
one more clause is one more row.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from pilotage.proto.job import Need

from .tagexpr import TagExpression, parse
from .types import ClassSpec, LiveOffer

SHOWN_MAX: Final = 5  # words of a list that an explanation shows

W = TypeVar("W")
H = TypeVar("H")


@dataclass(frozen=True, kw_only=True)
class Clause(Generic[W, H]):
    """One row. What is wanted and what is had must be hashable: the index keeps both as keys."""

    name: str
    wants: Callable[[Need, ClassSpec], W]
    has: Callable[[LiveOffer], H]
    denies: Callable[[W, H], bool]
    wanted: Callable[[W], str]  # as a person reads it
    best: Callable[[W, Iterable[H]], str]  # the nearest of what some offers have
    is_number: bool = False  # denied exactly where the wanted number is above the one that is had
    is_of_class: bool = False  # looks at the class and not at the need

    def refuses(self, need: Need, spec: ClassSpec, offer: LiveOffer) -> bool:
        """Whether this clause alone keeps the job from the offer."""
        return self.denies(self.wants(need, spec), self.has(offer))


Clauses = tuple[Clause[Any, Any], ...]


def table(compatible: Mapping[str, tuple[str, ...]]) -> Clauses:
    """Return all clauses.

    `compatible`: platform of an offer → platforms whose jobs it also runs, in order of liking.
    """

    def denies_os(wanted: str, had: str) -> bool:
        return bool(wanted) and wanted != had and wanted not in compatible.get(had, ())

    return (
        Clause[str, str](
            name="community",
            wants=lambda need, spec: spec.community,
            has=lambda offer: offer.community,
            denies=lambda wanted, had: wanted != had,
            wanted=str,
            best=_some_of,
            is_of_class=True,
        ),
        Clause[str, frozenset[str]](
            name="group",
            wants=lambda need, spec: spec.group,
            has=lambda offer: offer.groups,
            denies=_not_accepted,
            wanted=str,
            best=_some_of_sets,
            is_of_class=True,
        ),
        Clause[str, frozenset[str]](
            name="owner",
            wants=lambda need, spec: spec.owner,
            has=lambda offer: offer.owners,
            denies=_not_accepted,
            wanted=str,
            best=_some_of_sets,
            is_of_class=True,
        ),
        Clause[tuple[str, ...], str](
            name="sites",
            wants=lambda need, spec: need.sites,
            has=lambda offer: offer.site,
            denies=lambda wanted, had: bool(wanted) and had not in wanted,
            wanted=" or ".join,
            best=_some_of,
        ),
        Clause[tuple[str, ...], str](
            name="banned_sites",
            wants=lambda need, spec: need.banned_sites,
            has=lambda offer: offer.site,
            denies=lambda wanted, had: had in wanted,
            wanted=lambda wanted: "not " + " or ".join(wanted),
            best=_some_of,
        ),
        Clause[str, str](
            name="element",
            wants=lambda need, spec: need.element,
            has=lambda offer: offer.element,
            denies=_is_other,
            wanted=str,
            best=_some_of,
        ),
        Clause[str, str](
            name="os",
            wants=lambda need, spec: need.os,
            has=lambda offer: offer.os,
            denies=denies_os,
            wanted=str,
            best=_some_of,
        ),
        Clause[str, str](
            name="architecture",
            wants=lambda need, spec: need.architecture,
            has=lambda offer: offer.architecture,
            denies=_is_other,
            wanted=str,
            best=_some_of,
        ),
        _number("cores", "", lambda need: need.cores_min, lambda offer: offer.cores_free),
        _number("memory", "MB", least_memory_mb, lambda offer: offer.memory_free_mb),
        _number("wall", "s", lambda need: need.wall_s, lambda offer: offer.wall_left_s),
        _number("scratch", "MB", lambda need: need.scratch_mb, lambda offer: offer.scratch_free_mb),
        Clause[TagExpression, frozenset[str]](
            name="tags",
            wants=lambda need, spec: parse(need.tags),
            has=tags_of,
            denies=lambda wanted, had: not wanted.holds(had),
            wanted=str,
            best=_nearest_tags,
        ),
        Clause[frozenset[str], frozenset[str]](
            name="required_tags",
            wants=lambda need, spec: parse(need.tags).named,
            has=lambda offer: offer.required_tags,
            denies=lambda wanted, had: not had <= wanted,
            wanted=lambda wanted: "asks for " + (_listed(wanted) or "no tag"),
            best=_fewest_required,
        ),
    )


def least_memory_mb(need: Need) -> int:
    """Return the memory that the job takes with its fewest cores."""
    return need.memory_mb + need.memory_per_core_mb * need.cores_min


def tags_of(offer: LiveOffer) -> frozenset[str]:
    """Return what an offer is tagged with: a tag that it requires it also has."""
    return offer.tags | offer.required_tags if offer.required_tags else offer.tags


def _number(
    name: str, unit: str, wants: Callable[[Need], float], has: Callable[[LiveOffer], float]
) -> Clause[float, float]:
    """Return a row of the kind "at least so much of it is free"."""
    return Clause[float, float](
        name=name,
        wants=lambda need, spec: wants(need),
        has=has,
        denies=lambda wanted, had: wanted > had,
        wanted=lambda wanted: f"{wanted:.0f} {unit}".rstrip(),
        best=lambda wanted, had: _most(had, unit),
        is_number=True,
    )


def _is_other(wanted: str, had: str) -> bool:
    return bool(wanted) and wanted != had


def _not_accepted(wanted: str, had: frozenset[str]) -> bool:
    return bool(had) and wanted not in had


def _most(had: Iterable[float], unit: str) -> str:
    most = max(had, default=None)
    return "" if most is None else f"{int(most)} {unit}".rstrip()


def _listed(words: Iterable[str]) -> str:
    """Return the first few words in order, and how many more there are."""
    known = sorted({word for word in words if word})
    more = f" and {len(known) - SHOWN_MAX} more" if len(known) > SHOWN_MAX else ""
    return ", ".join(known[:SHOWN_MAX]) + more


def _some_of(wanted: object, had: Iterable[str]) -> str:
    return _listed(had)


def _some_of_sets(wanted: object, had: Iterable[frozenset[str]]) -> str:
    return _listed(word for words in had for word in words)


def _nearest_tags(wanted: TagExpression, had: Iterable[frozenset[str]]) -> str:
    """Return the tag set that has most of the tags asked for, and little else."""
    nearest = min(
        had, key=lambda tags: (-len(tags & wanted.named), len(tags), sorted(tags)), default=()
    )
    return _listed(nearest) or "no tags"


def _fewest_required(wanted: frozenset[str], had: Iterable[frozenset[str]]) -> str:
    nearest = min(had, key=lambda tags: (len(tags - wanted), sorted(tags)), default=())
    return "requires " + (_listed(nearest) or "nothing")
