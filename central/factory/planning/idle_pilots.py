"""Which idle pilots to let go, so that others come for jobs that wait. Pure.

A pilot without work ends by itself after the `idle_s` of its element: as long as nobody needs its
place, it may wait for jobs. Where its element is full, and jobs wait that other pilots there could
run, it goes before that. Only a few in a round, and none of an element that does not answer.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

IN_THE_WAY_S: Final = 30.0  # a pilot that has just become idle may have its next job in a moment


@dataclass(frozen=True)
class IdlePilot:
    """A pilot in which nothing runs."""

    pilot: str
    element: int
    idle_s: float


@dataclass(frozen=True)
class ElementIdleness:
    """The element of some idle pilots."""

    is_known: bool  # it has said what it has
    is_full: bool  # it takes no further pilot
    is_wanted: bool  # jobs wait that its pilots could run
    idle_s: float  # how long its pilots may be idle
    drain_max: int  # in one round


def spare(idle: Iterable[IdlePilot], elements: Mapping[int, ElementIdleness]) -> dict[str, str]:
    """Return the pilots to let go, the longest idle first, each with the reason."""
    found: dict[str, str] = {}
    left = {at: one.drain_max for at, one in elements.items()}
    for one in sorted(idle, key=lambda one: (-one.idle_s, one.pilot)):
        element = elements.get(one.element)
        if element is None or not element.is_known or left[one.element] <= 0:
            continue
        in_the_way = element.is_full and element.is_wanted and one.idle_s >= IN_THE_WAY_S
        if in_the_way:
            found[one.pilot] = f"idle for {one.idle_s:.0f} s where other pilots are needed"
        elif one.idle_s >= element.idle_s:
            found[one.pilot] = f"idle for {one.idle_s:.0f} s: no job needs it"
        else:
            continue
        left[one.element] -= 1
    return found
