"""Bans and drains of sites and elements, from the settings and from operators. Pure."""

from collections.abc import Iterable

from .record import MarkKind, PlaceMark

SETTINGS = "settings"  # shown as the author of bans by the settings


class SiteMarks:
    """The marks of sites and elements, in memory."""

    def __init__(self, banned: frozenset[str] = frozenset()) -> None:
        self.settings = banned  # banned by the settings
        self._marks: dict[str, PlaceMark] = {}
        self.isolating: frozenset[str] = frozenset()  # sites whose files require isolation

    def put(self, mark: PlaceMark) -> None:
        self._marks[mark.place] = mark

    def drop(self, place: str) -> None:
        self._marks.pop(place, None)

    def find(self, place: str) -> PlaceMark | None:
        return self._marks.get(place)

    def of_site(self, site: str) -> list[PlaceMark]:
        """Return the marks of a site and of its elements, that of the site first."""
        inside = f"{site}/"
        return [
            mark
            for place, mark in sorted(self._marks.items())
            if place == site or place.startswith(inside)
        ]

    def sites(self) -> set[str]:
        """Return the sites with a mark or a ban by the settings."""
        return {place.partition("/")[0] for place in (*self.settings, *self._marks)}

    def by_settings(self, place: str) -> list[str]:
        """Return the places that the settings ban, at a site with its elements or an element."""
        inside = f"{place}/"
        return sorted(one for one in self.settings if one == place or one.startswith(inside))

    def word(self, site: str, element: str) -> str:
        """Return "draining", "banned" or an empty text for an element."""
        if self.is_draining(site, element):
            return MarkKind.DRAINING.value
        return MarkKind.BANNED.value if self.is_banned(site, element) else ""

    def is_draining(self, site: str, element: str) -> bool:
        """Return whether the element gets no new pilots, and its pilots no new jobs."""
        return any(mark.mark is MarkKind.DRAINING for mark in self._at(site, element))

    def is_banned(self, site: str, element: str) -> bool:
        """Return whether the element accepts only jobs of the type Test."""
        return (
            site in self.settings
            or f"{site}/{element}" in self.settings
            or self.is_banned_by_mark(site, element)
        )

    def is_banned_by_mark(self, site: str, element: str) -> bool:
        """Return whether an operator banned the element. The matcher knows bans by the settings."""
        return any(mark.mark is MarkKind.BANNED for mark in self._at(site, element))

    def _at(self, site: str, element: str) -> Iterable[PlaceMark]:
        found = (self._marks.get(site), self._marks.get(f"{site}/{element}"))
        return (mark for mark in found if mark is not None)
