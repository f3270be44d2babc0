"""A detected value, its source and further notes. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

T = TypeVar("T", covariant=True)
Quantity = TypeVar("Quantity", bound=float)
NOTES_MAX = 12


@dataclass(frozen=True)
class SourcedValue(Generic[T]):
    """A value with its source. A value without a source is unknown."""

    value: T
    source: str = ""
    notes: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        return bool(self.source)

    def noting(self, *notes: str) -> "SourcedValue[T]":
        """Return the same value with more notes."""
        return replace(self, notes=(*self.notes, *(note for note in notes if note)))


def least(said: Iterable[SourcedValue[Quantity]], otherwise: Quantity) -> SourcedValue[Quantity]:
    """Return the smallest known value; its notes name the others, smallest first."""
    every = list(said)
    known = [one for one in every if one.known]
    unknown = [note for one in every if not one.known for note in one.notes]
    if not known:
        return SourcedValue(otherwise, "", tuple(unknown))
    known.sort(key=lambda one: one.value)
    first = known[0]
    notes = list(first.notes)
    for one in known[1:]:
        if one.value != first.value:
            notes.append(f"{one.source} says {one.value:.12g}")
        notes += one.notes
    return SourcedValue(
        first.value, first.source, tuple(dict.fromkeys([*notes, *unknown]))[:NOTES_MAX]
    )
