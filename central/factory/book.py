"""The elements that are in force, made from the sites' files, and made anew when these change."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..observe.events import Log
from .credentials.known import KnownCredential
from .drivers import Tools, element
from .element import ComputeElement
from .errors import BadOptions
from .fitting import fitting
from .sites import ElementEntry, SiteBook, SiteEntry, read_sites
from .watched import Watched

MakeTools = Callable[[str, str, ElementEntry], Tools]  # site, element, what is said of it
Make = Callable[[str, ElementEntry, Tools], ComputeElement]


def _made(kind: str, entry: ElementEntry, tools: Tools) -> ComputeElement:
    fitting(entry)
    return element(kind, entry.options, tools)


@dataclass(frozen=True)
class Trouble:
    """Something in a site's file that is not in force."""

    site: str
    element: str  # empty: the whole file
    why: str


class ElementBook:
    """Reads the files; what has not changed keeps its driver and what is known of it."""

    def __init__(self, folder: Path, tools: MakeTools, log: Log, *, make: Make = _made) -> None:
        self._folder, self._tools, self._log, self._make = folder, tools, log, make
        self._book = SiteBook()
        self._watched: dict[tuple[str, str], Watched] = {}
        self.troubles: list[Trouble] = []
        self._is_stale = True

    @property
    def sites(self) -> SiteBook:
        """All that the files say, as far as they read."""
        return self._book

    def look_again(self) -> None:
        """Read the files before the next round."""
        self._is_stale = True

    async def fresh(self) -> list[Watched]:
        """Return the elements that are in force by the files as they were when that was asked."""
        if self._is_stale:
            self._is_stale = False
            await asyncio.to_thread(self.reload)
        return self.in_force()

    def find(self, site: str, element: str) -> Watched | None:
        """Return an element that is in force."""
        return self._watched.get((site, element))

    def in_force(self) -> list[Watched]:
        """Return the elements, in the order of their names."""
        return [self._watched[key] for key in sorted(self._watched)]

    def reload(self) -> None:
        """Read all files again. One that does not read disturbs no other, nor what it said last."""
        self._book = read_sites(self._folder, self._book)
        self.troubles = [Trouble(site, "", why) for site, why in self._book.troubles.items()]
        watched: dict[tuple[str, str], Watched] = {}
        for site, site_entry in self._book.sites.items():
            for name, entry in site_entry.elements.items():
                try:
                    watched[site, name] = self._one(site, name, site_entry, entry)
                except (BadOptions, OSError) as why:
                    told = f"{self._folder / site}.yaml: elements.{name}.{why}"
                    self.troubles.append(Trouble(site, name, told))
                    if (site, name) in self._watched:  # what it said before stays in force
                        watched[site, name] = self._watched[site, name]
        self._watched = watched
        for trouble in self.troubles:
            self._log("site_trouble", site=trouble.site, element=trouble.element, why=trouble.why)
        self._log(
            "sites_read",
            sites=len(self._book.sites),
            elements=len(watched),
            troubles=len(self.troubles),
        )

    def _one(self, site: str, name: str, site_entry: SiteEntry, entry: ElementEntry) -> Watched:
        known = self._watched.get((site, name))
        if known is not None and known.entry == entry:
            known.site_entry = site_entry
            return known
        tools = self._tools(site, name, entry)
        return Watched(
            site=site,
            name=name,
            site_entry=site_entry,
            entry=entry,
            driver=self._make(entry.kind, entry, tools),
            credential=tools.credential if isinstance(tools.credential, KnownCredential) else None,
        )
