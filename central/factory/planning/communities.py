"""Which communities have pilots at an element, and what share of them each is to have. Pure.

A pilot serves one community: a place is a shape of pilots of one community at an element. What a
site's file gives each is its *share*: of the pilots there, as long as all want them. What one does
not ask for goes to the others, by their shares; whose share is 0 takes what is left.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..element_watch import WatchedElement, shape_name
from ..reconciliation import Sort


class CommunityShape(NamedTuple):
    """A shape of pilots of one community at an element."""

    element: WatchedElement
    shape: int
    community: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Return what it is known by from round to round."""
        return (self.element.site, self.element.name, *self.sort)

    @property
    def sort(self) -> Sort:
        """Return what its pilots are counted by at their element."""
        return shape_name(self.shape), self.community


def spots(watched: Sequence[WatchedElement], known: Sequence[str]) -> list[CommunityShape]:
    """Return the places of elements; `known`: the communities that this central serves.

    Where pilots of others wait, as of one that has no share any more, these have places too.
    """
    return [
        CommunityShape(element, number, community)
        for element in watched
        for community in _at(element, known)
        for number in range(len(element.entry.shapes))
    ]


def _at(element: WatchedElement, known: Sequence[str]) -> list[str]:
    served = shares(element.site_entry.communities, known)
    waiting = {one for _, one in element.found.queued} if element.found is not None else set[str]()
    return [*served, *sorted(waiting - served.keys())]


def shares(said: Mapping[str, float], known: Sequence[str]) -> dict[str, float]:
    """Return the shares at a site of the communities that it serves: all alike if it says none."""
    if not said:
        return dict.fromkeys(known, 1.0)
    return {name: said[name] for name in known if name in said}


def parts(said: Mapping[str, float], known: Sequence[str]) -> dict[str, float]:
    """Return the parts of a site's pilots that communities are to have, 1 in all."""
    of = shares(said, known)
    whole = sum(of.values())
    return {name: share / whole if whole > 0 else 1 / len(of) for name, share in of.items()}


def strangers(said: Iterable[str], known: Sequence[str]) -> list[str]:
    """Say which communities that a site's file names have no pilots here. Empty: all have."""
    found: list[str] = []
    for name in said:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            found.append(
                f"communities.{name}: this central serves {', '.join(known)}{hint}; "
                "community.name and community.others say so"
            )
    return found
