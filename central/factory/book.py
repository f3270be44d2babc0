"""The elements that are in force, made from the sites' files, and made anew when these change."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..observe.events import Log
from .communities import strangers
from .credentials.known import KnownCredential
from .drivers import Tools, element
from .element import ComputeElement
from .errors import BadOptions
from .fitting import fitting
from .regular import Reader
from .site_lines import located
from .sites import SUFFIX, ElementEntry, SiteBook, SiteEntry, read_sites
from .watched import Watched

LEFT = "no site's file speaks of it any more: pilots that wait there are taken back"
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

    def __init__(
        self,
        folder: Path,
        tools: MakeTools,
        log: Log,
        *,
        make: Make = _made,
        communities: Sequence[str] = (),  # that the central serves; none: it is not looked at
    ) -> None:
        self._folder, self._tools, self._log, self._make = folder, tools, log, make
        self._communities = communities
        self._book = SiteBook()
        self._watched: dict[tuple[str, str], Watched] = {}
        self._gone: dict[tuple[str, str], Watched] = {}  # with what is left there of ours
        self.troubles: list[Trouble] = []
        self.notes: list[Trouble] = []  # what is wrong and keeps nothing from being in force
        self._is_stale = self._is_unread = True
        self._reader = Reader()
        self._reading = asyncio.Lock()  # a second caller waits for the files, too

    @property
    def sites(self) -> SiteBook:
        """All that the files say, as far as they read."""
        return self._book

    @property
    def is_unread(self) -> bool:
        """Whether the files were not read yet: `sites` is empty then."""
        return self._is_unread

    def look_again(self) -> None:
        """Read the files before the next round."""
        self._is_stale = True

    async def fresh(self) -> list[Watched]:
        """Return the elements that are in force by the files as they were when that was asked."""
        async with self._reading:
            if self._is_stale:
                self._is_stale = False
                try:
                    await self._reader.do(self.reload)
                except TimeoutError:  # nothing is known of what there is now: all stays
                    self._is_stale = True
                    why = f"{self._folder}: its file system does not answer"
                    self._log("site_trouble", site="", element="", why=why)
                except asyncio.CancelledError:  # the next caller reads them
                    self._is_stale = True
                    raise
        return self.in_force()

    def find(self, site: str, element: str) -> Watched | None:
        """Return an element that is in force, or that is left with pilots."""
        return self._watched.get((site, element)) or self._gone.get((site, element))

    def in_force(self) -> list[Watched]:
        """Return the elements, in the order of their names."""
        return [self._watched[key] for key in sorted(self._watched)]

    def left(self) -> list[Watched]:
        """Return the elements of which no file speaks any more, as long as pilots are there."""
        self._gone = {key: one for key, one in self._gone.items() if not one.is_empty}
        return [self._gone[key] for key in sorted(self._gone)]

    def is_gone(self, site: str, element: str) -> bool:
        """Whether no file speaks of an element. As long as one does not read, it may be there."""
        return not (
            self._is_unread
            or self._book.unlisted
            or (site, element) in self._watched
            or any(one.site == site and one.element in ("", element) for one in self.troubles)
        )

    def reload(self) -> None:
        """Read all files again. One that does not read disturbs no other, nor what it said last."""
        self._book, self._is_unread = read_sites(self._folder, self._book), False
        self.troubles = [Trouble(site, "", why) for site, why in self._book.troubles.items()]
        self.notes = [*self._strangers()]
        watched: dict[tuple[str, str], Watched] = {}
        for site, site_entry in self._book.sites.items():
            for name, entry in site_entry.elements.items():
                try:
                    watched[site, name] = self._one(site, name, site_entry, entry)
                except (BadOptions, OSError) as why:
                    told = located(self._folder / f"{site}{SUFFIX}", name, str(why))
                    self.troubles.append(Trouble(site, name, told))
                    if (site, name) in self._watched:  # what it said before stays in force
                        watched[site, name] = self._watched[site, name]
        for key, one in self._watched.items():
            if key not in watched:
                self._goes(one)
        for key in watched:
            self._gone.pop(key, None)
        self._watched = watched
        in_force = Counter(one.site for one in watched.values() if not one.is_disabled)
        for one in watched.values():
            one.sharers = in_force[one.site]
        if self._book.unlisted and watched:  # without any, there may never have been a folder
            self._log("site_trouble", site="", element="", why=self._book.unlisted)
        for trouble in (*self.troubles, *self.notes):
            self._log("site_trouble", site=trouble.site, element=trouble.element, why=trouble.why)
        self._log(
            "sites_read",
            sites=len(self._book.sites),
            elements=len(watched),
            troubles=len(self.troubles) + len(self.notes),
        )

    def _strangers(self) -> Iterator[Trouble]:
        """Yield what sites' files say of communities that this central does not serve."""
        for site, entry in self._book.sites.items():
            for why in strangers(entry.communities, self._communities) if self._communities else ():
                yield Trouble(site, "", located(self._folder / f"{site}{SUFFIX}", "", why))

    def _goes(self, one: Watched) -> None:
        one.is_gone, one.is_empty = True, False
        self._gone[one.key] = one
        self._log("element_gone", site=one.site, element=one.name, pilots=len(one.rows), why=LEFT)

    def _one(self, site: str, name: str, site_entry: SiteEntry, entry: ElementEntry) -> Watched:
        known = self.find(site, name)
        if known is not None and known.entry == entry:
            known.site_entry, known.is_gone = site_entry, False
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
