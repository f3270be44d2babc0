"""The elements that are in force, made from the sites' files, and made anew when these change."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..observe.events import Log
from .credentials.credential_expiry import KnownCredential
from .drivers import Tools, element
from .element import ComputeElement
from .element_watch import WatchedElement
from .errors import BadOptions
from .file_reader import ReaderThread
from .planning.communities import strangers
from .site_files.element_checks import fitting
from .site_files.line_numbers import located
from .site_files.sites import SUFFIX, ElementEntry, SiteBook, SiteEntry, read_sites

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


@dataclass(frozen=True)
class _Reading:
    """What the sites' files say."""

    book: SiteBook
    watched: dict[tuple[str, str], WatchedElement]
    troubles: list[Trouble]


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
        self._watched: dict[tuple[str, str], WatchedElement] = {}
        self._gone: dict[tuple[str, str], WatchedElement] = {}  # with what is left there of ours
        self.troubles: list[Trouble] = []
        self.notes: list[Trouble] = []  # what is wrong and keeps nothing from being in force
        self._is_stale = self._is_unread = True
        self._reader = ReaderThread()
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

    async def fresh(self) -> list[WatchedElement]:
        """Return the elements that are in force by the files as they were when that was asked."""
        async with self._reading:
            if self._is_stale:
                is_read = self._is_stale = False
                try:
                    self._take(await self._reader.do(self._read))
                    is_read = True
                except TimeoutError:  # the files cannot be seen now: all stays
                    why = f"{self._folder}: its file system does not answer"
                    self._log("site_trouble", site="", element="", why=why)
                finally:
                    self._is_stale |= not is_read  # the next caller reads them
        return self.in_force()

    def find(self, site: str, element: str) -> WatchedElement | None:
        """Return an element that is in force, or that is left with pilots."""
        return self._watched.get((site, element)) or self._gone.get((site, element))

    def in_force(self) -> list[WatchedElement]:
        """Return the elements, in the order of their names."""
        return [self._watched[key] for key in sorted(self._watched)]

    def left(self) -> list[WatchedElement]:
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
        self._take(self._read())

    def _read(self) -> "_Reading":
        """Return what the files say. It may wait for a disk, and changes nothing in force."""
        book = read_sites(self._folder, self._book)
        troubles = [Trouble(site, "", why) for site, why in book.troubles.items()]
        watched: dict[tuple[str, str], WatchedElement] = {}
        for site, site_entry in book.sites.items():
            for name, entry in site_entry.elements.items():
                try:
                    watched[site, name] = self._one(site, name, site_entry, entry)
                except (BadOptions, OSError) as why:
                    told = located(self._folder / f"{site}{SUFFIX}", name, str(why))
                    troubles.append(Trouble(site, name, told))
                    if (site, name) in self._watched:  # what it said before stays in force
                        watched[site, name] = self._watched[site, name]
        return _Reading(book, watched, troubles)

    def _take(self, found: "_Reading") -> None:
        """Let what the files say be in force."""
        self._book, self._is_unread = found.book, False
        self.troubles, watched = found.troubles, found.watched
        self.notes = [*self._strangers()]
        for key, one in self._watched.items():
            if key not in watched:
                self._goes(one)
        for (site, name), one in watched.items():
            self._gone.pop((site, name), None)
            site_entry = found.book.sites[site]
            if one.entry == site_entry.elements[name]:
                one.site_entry, one.is_gone = site_entry, False
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

    def _goes(self, one: WatchedElement) -> None:
        one.is_gone, one.is_empty = True, False
        self._gone[one.key] = one
        self._log("element_gone", site=one.site, element=one.name, pilots=len(one.rows), why=LEFT)

    def _one(
        self, site: str, name: str, site_entry: SiteEntry, entry: ElementEntry
    ) -> WatchedElement:
        known = self.find(site, name)
        if known is not None and known.entry == entry:
            return known
        tools = self._tools(site, name, entry)
        return WatchedElement(
            site=site,
            name=name,
            site_entry=site_entry,
            entry=entry,
            driver=self._make(entry.kind, entry, tools),
            credential=tools.credential if isinstance(tools.credential, KnownCredential) else None,
        )
