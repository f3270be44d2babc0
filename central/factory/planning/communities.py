"""The communities that have pilots at an element, and the share of each. Pure.

A pilot serves one community, so a place is a shape of pilots of one community at an element. A
site's file gives each community its *share* of the pilots there, while all want them. Pilots that
one community does not need go to the others by their shares. A community with share 0 gets the
rest.
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
        """Return the key that identifies the place from round to round."""
        return (self.element.site, self.element.name, *self.sort)

    @property
    def sort(self) -> Sort:
        """Return the sort by which its pilots are counted at their element."""
        return shape_name(self.shape), self.community


def spots(watched: Sequence[WatchedElement], known: Sequence[str]) -> list[CommunityShape]:
    """Return the places of elements; `known`: the communities that this central serves.

    A community without a share still has a place while pilots of it are queued there.
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
    """Return the shares of the served communities at a site; all equal if the file has none."""
    if not said:
        return dict.fromkeys(known, 1.0)
    return {name: said[name] for name in known if name in said}


def parts(said: Mapping[str, float], known: Sequence[str]) -> dict[str, float]:
    """Return the fractions of a site's pilots for each community, 1 in all."""
    of = shares(said, known)
    whole = sum(of.values())
    return {name: share / whole if whole > 0 else 1 / len(of) for name, share in of.items()}


def strangers(said: Iterable[str], known: Sequence[str]) -> list[str]:
    """Return a message for each community in a site's file that has no pilots here."""
    found: list[str] = []
    for name in said:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            found.append(
                f"communities.{name}: this central serves {', '.join(known)}{hint}; "
                "see community.name and community.others"
            )
    return found
