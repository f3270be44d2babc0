"""What a clause is, and how it is worded.

A clause is what a job wants, what an offer has, and whether the one denies the other. The exact
rule, the index and the explanations are all driven by the table of them (`clauses`).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final, Generic, TypeVar

from pilotage.proto.job import Need

from .platforms import ANY
from .tagchoices import Choices
from .types import ClassSpec, LiveOffer
from .versions import Version, shown, version

SHOWN_MAX: Final = 5  # words of a list that an explanation shows

W = TypeVar("W")
H = TypeVar("H")


@dataclass(frozen=True, kw_only=True)
class Clause(Generic[W, H]):
    """One row. What is wanted and what is had must be hashable: the index keeps both as keys."""

    name: str
    wants: Callable[[Need, ClassSpec], W]
    fact: str  # attribute of the offer that it looks at
    denies: Callable[[W, H], bool]
    wanted: Callable[[W], str]  # as a person reads it
    best: Callable[[W, Iterable[H]], str]  # the nearest of what some offers have
    is_number: bool = False  # denied exactly where the wanted number is above the one that is had
    is_version: bool = False  # of the node's fact of its name, at least and perhaps at most
    is_joint: bool = False  # looks at several numbers together; like them it is no part of a kind
    is_of_class: bool = False  # looks at the class and not at the need
    idle: object = None  # what is wanted where nothing is asked: it refuses none
    is_rare: bool = False  # few jobs ask: the index keeps together what no class tells apart
    # Where one of some words is wanted: these words. Beside them ANY will do, and nothing else.
    only: Callable[[W], Iterable[H]] | None = None
    # Where none of some words is wanted: these words.
    never: Callable[[W], Iterable[H]] | None = None
    # Where one word is wanted, and a set of words is had: it must be in there, or ANY. No words at
    # all will do too.
    among: bool = False
    # Where sets of words are had: what an expression over words comes to.
    choices: Callable[[W], Choices] | None = None
    # And all words in that expression: others of an offer make no difference.
    speaks_of: Callable[[W], Iterable[Any]] | None = None
    # Where sets of words are had: all of them must be among these.
    covers: Callable[[W], Iterable[Any]] | None = None
    has: Callable[[LiveOffer], H] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "has", attrgetter(self.fact))

    def refuses(self, need: Need, spec: ClassSpec, offer: LiveOffer) -> bool:
        """Whether this clause alone keeps the job from the offer."""
        return self.denies(self.wants(need, spec), self.has(offer))


Clauses = tuple[Clause[Any, Any], ...]


def number(
    name: str,
    unit: str,
    wants: Callable[[Need], float],
    fact: str,
    *,
    unknown: str = "",
    unasked: bool = True,
) -> Clause[float, float]:
    """Return a row of the kind "at least so much of it is free".

    `unasked`: whether one can ask for none of it. `unknown`: what zero is called where it says that
    nobody has measured.
    """
    return Clause[float, float](
        name=name,
        wants=lambda need, spec: wants(need),
        fact=fact,
        denies=lambda wanted, had: wanted > had,
        wanted=lambda wanted: f"{wanted:.0f} {unit}".rstrip(),
        best=lambda wanted, had: _most(had, unit, unknown),
        is_number=True,
        idle=0 if unasked else None,
    )


def versions(name: str) -> Clause[tuple[Version, Version], Any]:
    """Return a row of the kind "this version or a newer one", over the node's fact of this name.

    A need says the oldest version in NAME_min, and the newest one in NAME_max if it has that field.
    """
    has = attrgetter(name)
    least, *most = map(attrgetter, fields_of(name))

    def denies(wanted: tuple[Version, Version], node: Any) -> bool:
        low, high = wanted
        had = has(node)
        return had < low or bool(high) and not () < had <= high

    return Clause[tuple[Version, Version], Any](
        name=name,
        wants=lambda need, spec: (version(least(need)), version(most[0](need)) if most else ()),
        fact="node",
        denies=denies,
        wanted=_range,
        best=lambda wanted, nodes: _nearest_version(wanted, {has(node) for node in nodes}),
        idle=((), ()),
        is_rare=True,
        is_version=True,
    )


def fields_of(name: str) -> tuple[str, ...]:
    """Return the fields of a need in which a clause of this name is asked, by their own names."""
    names = (name, f"{name}_min", f"{name}_max")
    return tuple(one for one in names if one in Need.__struct_fields__)


def is_other(wanted: str, had: str) -> bool:
    """Whether one thing is asked for and another is had."""
    return bool(wanted) and wanted != had and had != ANY


def one_word(wanted: str) -> tuple[str, ...]:
    """Return the word that is asked for, if any is."""
    return (wanted,) if wanted else ()


def listed(words: Iterable[str]) -> str:
    """Return the first few words in order, and how many more there are."""
    known = sorted({word for word in words if word})
    more = f" and {len(known) - SHOWN_MAX} more" if len(known) > SHOWN_MAX else ""
    return ", ".join(known[:SHOWN_MAX]) + more


def one_of(words: Iterable[str]) -> str:
    """Return a few words of which one is enough."""
    return listed(words).replace(", ", " or ")


def some_of(wanted: object, had: Iterable[str]) -> str:
    """Word what the offers have, where each has one word."""
    return listed(had)


def some_of_sets(wanted: object, had: Iterable[frozenset[str]]) -> str:
    """Word what the offers have, where each has several words."""
    return listed(word for words in had for word in words)


def _most(had: Iterable[float], unit: str, unknown: str) -> str:
    most = max(had, default=None)
    if most is None:
        return ""
    return f"{int(most)} {unit}".rstrip() if most or not unknown else unknown


def _range(wanted: tuple[Version, Version]) -> str:
    low, high = wanted
    parts = (f"{shown(low)} or newer" if low else "", f"{shown(high)} or older" if high else "")
    return " and ".join(part for part in parts if part)


def _nearest_version(wanted: tuple[Version, Version], had: set[Version]) -> str:
    too_old = [one for one in had if one and one < wanted[0]]
    others = had - {(), *too_old}
    return shown(max(too_old) if too_old else min(others, default=()))
