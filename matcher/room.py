"""How much of the offers that fit is free now: which have enough, and what the others lack."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from pilotage.proto.api_explain import ROOM_ASKED_MAX

from .clause import Clause, Clauses
from .clauses import lacking
from .looks import Look
from .types import ClassSpec, LiveOffer

KINDS_MAX: Final = 3  # of what lacks that are told

# What an offer has of what it could have: both of the same pilot.
Free = Callable[[LiveOffer], LiveOffer]
_Asked = tuple[Clause[Any, Any], Any]  # a clause, and what it wants


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """The fitting offers as they are now."""

    asked: int  # how many were looked at
    enough: list[LiveOffer]  # those of them that a job could take now
    lacks: list[str]  # what the others have too little of, the most frequent first


def look_at_room(
    spec: ClassSpec,
    offers: Sequence[LiveOffer],
    looks: Sequence[Look],
    clauses: Clauses,
    free: Free | None,
) -> Room:
    """Return which of the offers that fit when they are empty have room for a job now."""
    fits = 0
    for look in looks:
        fits |= look.fitting
    places = (
        [place for place, flag in enumerate(_flags(fits, offers)) if flag == "1"] if fits else []
    )
    places = places[:: len(places) // ROOM_ASKED_MAX + 1]
    if free is None:
        return Room(asked=len(places), enough=[offers[place] for place in places], lacks=[])
    numbers = [clause for clause in clauses if clause.is_number or clause.is_joint]
    needs: list[tuple[str, list[_Asked]]] = []
    for need, look in zip(spec.needs, looks, strict=True):
        wanted = [(clause, clause.wants(need, spec)) for clause in numbers]
        asked = [(clause, wants) for clause, wants in wanted if wants != clause.idle]
        needs.append((_flags(look.fitting, offers), asked))
    enough: list[LiveOffer] = []
    lacks: Counter[str] = Counter()
    words: list[str] = []
    for place in places:
        empty = offers[place]
        now = free(empty)
        its = [asked for flags, asked in needs if flags[place] == "1"]
        missing = [] if now is empty else _least(its, now)
        if missing:
            lacks.update(clause.name for clause, _ in missing)
            words = [_words(clause, wants, now, empty) for clause, wants in missing]
        else:
            enough.append(now)
    if len(places) > 1:
        words = [f"{_name(name)} on {count}" for name, count in lacks.most_common(KINDS_MAX)]
    return Room(asked=len(places), enough=enough, lacks=words)


def _flags(bits: int, offers: Sequence[LiveOffer]) -> str:
    """Return a "1" for each offer that is in a set; the last one is the lowest bit."""
    return format(bits, f"0{len(offers)}b")


def _least(needs: Sequence[Sequence[_Asked]], now: LiveOffer) -> list[_Asked]:
    """Return what lacks for the need that lacks least."""
    return min(
        (
            [(clause, wants) for clause, wants in asked if clause.denies(wants, clause.has(now))]
            for asked in needs
        ),
        key=len,
    )


def _words(clause: Clause[Any, Any], wants: Any, now: LiveOffer, empty: LiveOffer) -> str:
    """Say how much is free of how much."""
    if clause.name == "amounts":
        free, all_of_it = now.amounts_free, empty.amounts_free
        names = [name for name, _ in lacking(wants, now.counted)]
        return ", ".join(
            f"{name} {free.get(name, 0)} of {all_of_it.get(name, 0)}" for name in names
        )
    if clause.name == "whole_node":
        if now.cores_free < now.cores:
            return f"cores {now.cores_free} of {now.cores}, and it takes the whole node"
        if now.memory_free_mb < empty.memory_free_mb:
            return f"memory {now.memory_free_mb} of {empty.memory_free_mb} MB"
        return f"work {now.core_work_left_hs23_s:.0f} of {empty.core_work_left_hs23_s:.0f} a core"
    unit = " MB" if clause.name in ("memory", "scratch") else ""
    return f"{_name(clause.name)} {clause.has(now):.0f} of {clause.has(empty):.0f}{unit}"


def _name(clause: str) -> str:
    return "GPUs" if clause == "gpus" else clause.replace("_", " ")
