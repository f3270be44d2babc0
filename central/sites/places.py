"""What holds at sites and elements: bans of the settings, and what operators have said. Pure."""

from collections.abc import Iterable

from .record import MarkKind, PlaceMark

SETTINGS = "settings"  # who has said so, where no person has


class Places:
    """Marks of places in memory: of a site, and of single elements."""

    def __init__(self, banned: frozenset[str] = frozenset()) -> None:
        self.settings = banned  # banned for as long as the settings say so
        self._marks: dict[str, PlaceMark] = {}
        self.isolating: frozenset[str] = frozenset()  # sites whose files require isolation

    def put(self, mark: PlaceMark) -> None:
        self._marks[mark.place] = mark

    def drop(self, place: str) -> None:
        self._marks.pop(place, None)

    def find(self, place: str) -> PlaceMark | None:
        return self._marks.get(place)

    def of_site(self, site: str) -> list[PlaceMark]:
        """Return the marks of a site and of its elements, its own first."""
        inside = f"{site}/"
        return [
            mark
            for place, mark in sorted(self._marks.items())
            if place == site or place.startswith(inside)
        ]

    def sites(self) -> set[str]:
        """Return the sites of which anything is said."""
        return {place.partition("/")[0] for place in (*self.settings, *self._marks)}

    def by_settings(self, place: str) -> list[str]:
        """Return what the settings ban of a site with its elements, or of one element."""
        inside = f"{place}/"
        return sorted(one for one in self.settings if one == place or one.startswith(inside))

    def word(self, site: str, element: str) -> str:
        """Say in one word what holds at an element; empty: nothing does."""
        if self.is_draining(site, element):
            return MarkKind.DRAINING.value
        return MarkKind.BANNED.value if self.is_banned(site, element) else ""

    def is_draining(self, site: str, element: str) -> bool:
        """Whether no new pilots are wanted there, and no new jobs for those that are there."""
        return any(mark.mark is MarkKind.DRAINING for mark in self._at(site, element))

    def is_banned(self, site: str, element: str) -> bool:
        """Whether only jobs of the type Test run there."""
        return (
            site in self.settings
            or f"{site}/{element}" in self.settings
            or self.is_banned_by_mark(site, element)
        )

    def is_banned_by_mark(self, site: str, element: str) -> bool:
        """Whether an operator has said so: the settings' own bans are the matcher's."""
        return any(mark.mark is MarkKind.BANNED for mark in self._at(site, element))

    def _at(self, site: str, element: str) -> Iterable[PlaceMark]:
        found = (self._marks.get(site), self._marks.get(f"{site}/{element}"))
        return (mark for mark in found if mark is not None)
