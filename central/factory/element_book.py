"""The elements in use: built from the sites' files, and rebuilt when these change."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..entry_files import SUFFIX
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
from .site_files.sites import ElementEntry, SiteBook, SiteEntry, read_sites

LEFT = "no site's file names it any more: its queued pilots are cancelled"
MakeTools = Callable[[str, str, ElementEntry], Tools]  # site, element, its entry in the file
Make = Callable[[str, ElementEntry, Tools], ComputeElement]


def _made(kind: str, entry: ElementEntry, tools: Tools) -> ComputeElement:
    fitting(entry)
    return element(kind, entry.options, tools)


@dataclass(frozen=True)
class SiteFileProblem:
    """A part of a site's file that could not be used."""

    site: str
    element: str  # empty: the whole file is wrong
    why: str


@dataclass(frozen=True)
class _Reading:
    """The content of the sites' files, as just read."""

    book: SiteBook
    watched: dict[tuple[str, str], WatchedElement]
    troubles: list[SiteFileProblem]


class ElementBook:
    """Reads the sites' files. An element whose entry is unchanged keeps its driver and state."""

    def __init__(
        self,
        folder: Path,
        tools: MakeTools,
        log: Log,
        *,
        make: Make = _made,
        communities: Sequence[str] = (),  # served by the central; empty: no check
    ) -> None:
        self._folder, self._tools, self._log, self._make = folder, tools, log, make
        self._communities = communities
        self._book = SiteBook()
        self._watched: dict[tuple[str, str], WatchedElement] = {}
        self._gone: dict[tuple[str, str], WatchedElement] = {}  # that still have pilots of ours
        self.troubles: list[SiteFileProblem] = []
        self.notes: list[SiteFileProblem] = []  # warnings, which keep nothing from use
        self._is_stale = self._is_unread = True
        self._reader = ReaderThread()
        self._reading = asyncio.Lock()  # a second caller also waits for the files

    @property
    def sites(self) -> SiteBook:
        """All that the files contain, as far as they can be read."""
        return self._book

    @property
    def is_unread(self) -> bool:
        """Whether the files were not read yet; `sites` is then empty."""
        return self._is_unread

    def look_again(self) -> None:
        """Ask for the files to be read before the next round."""
        self._is_stale = True

    async def fresh(self) -> list[WatchedElement]:
        """Return the elements in use, from files that are read after this call began."""
        async with self._reading:
            if self._is_stale:
                is_read = self._is_stale = False
                try:
                    self._take(await self._reader.do(self._read))
                    is_read = True
                except TimeoutError:  # the files cannot be read now: nothing changes
                    why = f"{self._folder}: its file system does not answer"
                    self._log("site_trouble", site="", element="", why=why)
                finally:
                    self._is_stale |= not is_read  # the next caller reads them
        return self.in_force()

    def find(self, site: str, element: str) -> WatchedElement | None:
        """Return an element that is in use, or removed but still with pilots."""
        return self._watched.get((site, element)) or self._gone.get((site, element))

    def in_force(self) -> list[WatchedElement]:
        """Return the elements in use, in the order of their names."""
        return [self._watched[key] for key in sorted(self._watched)]

    def left(self) -> list[WatchedElement]:
        """Return the elements that no file names any more but that still have pilots."""
        self._gone = {key: one for key, one in self._gone.items() if not one.is_empty}
        return [self._gone[key] for key in sorted(self._gone)]

    def is_gone(self, site: str, element: str) -> bool:
        """Return whether no file names an element. While a file cannot be read, it may name it."""
        return not (
            self._is_unread
            or self._book.unlisted
            or (site, element) in self._watched
            or any(one.site == site and one.element in ("", element) for one in self.troubles)
        )

    def reload(self) -> None:
        """Read all files again. A file with errors keeps its last valid version in use."""
        self._take(self._read())

    def _read(self) -> "_Reading":
        """Read the files, which may block, and return their content; change nothing in use."""
        book = read_sites(self._folder, self._book)
        troubles = [SiteFileProblem(site, "", why) for site, why in book.troubles.items()]
        watched: dict[tuple[str, str], WatchedElement] = {}
        for site, site_entry in book.sites.items():
            for name, entry in site_entry.elements.items():
                try:
                    watched[site, name] = self._one(site, name, site_entry, entry)
                except (BadOptions, OSError) as why:
                    message = located(self._folder / f"{site}{SUFFIX}", name, str(why))
                    troubles.append(SiteFileProblem(site, name, message))
                    if (site, name) in self._watched:  # its last valid version stays in use
                        watched[site, name] = self._watched[site, name]
        return _Reading(book, watched, troubles)

    def _take(self, found: "_Reading") -> None:
        """Put the content of the files into use."""
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
        if self._book.unlisted and watched:  # without elements, the folder may never have existed
            self._log("site_trouble", site="", element="", why=self._book.unlisted)
        for trouble in (*self.troubles, *self.notes):
            self._log("site_trouble", site=trouble.site, element=trouble.element, why=trouble.why)
        self._log(
            "sites_read",
            sites=len(self._book.sites),
            elements=len(watched),
            troubles=len(self.troubles) + len(self.notes),
        )

    def _strangers(self) -> Iterator[SiteFileProblem]:
        """Yield entries of sites' files for communities that this central does not serve."""
        for site, entry in self._book.sites.items():
            for why in strangers(entry.communities, self._communities) if self._communities else ():
                yield SiteFileProblem(site, "", located(self._folder / f"{site}{SUFFIX}", "", why))

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
