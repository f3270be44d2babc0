"""Selects the idle pilots to end, so that other pilots can run waiting jobs. Pure.

A pilot without work ends by itself after the `idle_s` of its element; until then it may wait for
jobs. It is ended earlier if its element is full and jobs wait that other pilots there could run.
Only a few are ended in a round, and none of an element that does not answer.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

IN_THE_WAY_S: Final = 30.0  # a pilot that became idle later may soon get its next job


@dataclass(frozen=True)
class IdlePilot:
    """A pilot without a running job."""

    pilot: str
    element: int
    idle_s: float


@dataclass(frozen=True)
class ElementIdleness:
    """The element of some idle pilots."""

    is_known: bool  # it has reported its pilots
    is_full: bool  # it accepts no more pilots
    is_wanted: bool  # its pilots could run waiting jobs
    idle_s: float  # idle time after which its pilots end
    drain_max: int  # most pilots to drain in one round


def spare(idle: Iterable[IdlePilot], elements: Mapping[int, ElementIdleness]) -> dict[str, str]:
    """Return the pilots to end, the longest idle first, each with the reason."""
    found: dict[str, str] = {}
    left = {at: one.drain_max for at, one in elements.items()}
    for one in sorted(idle, key=lambda one: (-one.idle_s, one.pilot)):
        element = elements.get(one.element)
        if element is None or not element.is_known or left[one.element] <= 0:
            continue
        in_the_way = element.is_full and element.is_wanted and one.idle_s >= IN_THE_WAY_S
        if in_the_way:
            found[one.pilot] = f"idle for {one.idle_s:.0f} s while other pilots are needed"
        elif one.idle_s >= element.idle_s:
            found[one.pilot] = f"idle for {one.idle_s:.0f} s: no job needs it"
        else:
            continue
        left[one.element] -= 1
    return found
