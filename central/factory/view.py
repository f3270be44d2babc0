"""The view of the elements for users."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from pilotage.matcher.types import ClassSpec, LiveOffer
from pilotage.proto.api.sites import Elements, ElementView, SiteCheck, SiteCheckRequest
from pilotage.proto.problems import Code

from ..errors import Refused
from ..identity.callers import User
from ..identity.policy import Permission, require_for_all
from ..ports import Clock, SiteFile
from .element_book import ElementBook
from .element_watch import WatchedElement
from .errors import ElementTrouble
from .factory import Factory
from .pilot_time import PilotTime
from .planning.communities import parts
from .site_checks import SiteChecks

READ_S = 5.0
LOOK_S = 0.05
CANCEL_S = 60.0  # for an element to confirm that it ends a pilot
SiteMarkOf = Callable[[str, str], str]  # site, element → banned, draining or empty


def _nothing_holds(site: str, element: str) -> str:
    return ""


class ElementsView:
    """Answers from the factory's state; empty before the factory has begun."""

    def __init__(self, clock: Clock, held: SiteMarkOf = _nothing_holds) -> None:
        self._clock, self.held = clock, held
        self.communities: Sequence[str] = ()  # whose pilots the factory submits
        self.book: ElementBook | None = None
        self.checks: SiteChecks | None = None
        self.factory: Factory | None = None
        self._time = PilotTime()

    def credentials_left_s(self) -> dict[tuple[str, str], float]:
        """Return the seconds left of each element's credential, if its end is known."""
        left = {} if self.book is None else {one.key: _left_s(one) for one in self.book.in_force()}
        return {key: seconds for key, seconds in left.items() if seconds is not None}

    async def elements(self, caller: User) -> Elements:
        """Return all elements in use, then the problems of sites' files.

        Raises Refused (UNAVAILABLE) if the files are not read within `READ_S`.
        """
        if self.book is None:
            return Elements(elements=[])
        until = self._clock.monotonic() + READ_S  # the central has just started
        while self.book.is_unread and self._clock.monotonic() < until:
            await self._clock.sleep(LOOK_S)
        if self.book.is_unread:
            why = "the sites' files are not read yet: try again in a moment"
            raise Refused(Code.UNAVAILABLE, why)
        now = self._clock.monotonic()
        views = [self._view(one, now) for one in self.book.in_force()]
        views += [
            ElementView(site=one.site, element=one.element, trouble=one.why)
            for one in self.book.troubles
        ]
        unmet_jobs = 0 if self.factory is None else self.factory.last_plan.unmet_jobs
        return Elements(elements=views, unmet_jobs=unmet_jobs)

    def _view(self, one: WatchedElement, now: float) -> ElementView:
        """Return the view of an element, with its trouble, or else why it gets fewer pilots."""
        view = _view(one, now, self.held)
        if one.trouble or self.factory is None:
            return view
        return msgspec.structs.replace(view, trouble=self.factory.held(one))

    def prospects(self, spec: ClassSpec) -> list[str]:
        """Return remarks about pilots for a job; empty before the factory has begun."""
        return [] if self.factory is None else self.factory.prospects(spec)

    def offers(self) -> list[LiveOffer]:
        """Return the offers of pilots of all elements in use; empty before the first round."""
        return [] if self.factory is None else self.factory.outlook.offers

    def note(self, watched: Iterable[WatchedElement]) -> None:
        """Note the number of pilots, once a round."""
        self._time.note(watched, self._clock.monotonic())

    def files(self) -> Mapping[str, SiteFile]:
        """Return the sites that have a file; empty before the factory has begun."""
        if self.book is None:
            return {}
        now = self._clock.monotonic()
        troubles: dict[str, list[str]] = {}
        for trouble in (*self.book.troubles, *self.book.notes):
            troubles.setdefault(trouble.site, []).append(trouble.why)
        elements: dict[str, list[ElementView]] = {}
        for one in self.book.in_force():
            elements.setdefault(one.site, []).append(self._view(one, now))
        known = self.book.sites.sites
        files = {
            name: SiteFile(
                pledge=entry.pledge,
                contact=entry.contact,
                enabled=entry.enabled,
                trouble="; ".join(troubles.get(name, ())),
                elements=tuple(elements.get(name, ())),
                pilot_s=float(self._time.by_site[name]),
                shares=parts(entry.communities, self.communities),
                pilot_s_of={
                    community: float(seconds)
                    for (site, community), seconds in self._time.by_community.items()
                    if site == name
                },
            )
            for name, entry in known.items()
        }
        unread = {
            name: SiteFile(pledge=None, enabled=False, trouble="; ".join(why))
            for name, why in troubles.items()
            if name not in known
        }
        return {**files, **unread}

    async def cancel(self, site: str, element: str, slots: Sequence[str]) -> str:
        """Ask an element to end pilots; return the error, or an empty text."""
        found = None if self.book is None else self.book.find(site, element)
        if found is None:
            return f"{site}/{element} is in no site's file"
        with contextlib.suppress(TimeoutError):
            try:
                async with asyncio.timeout(CANCEL_S):
                    await found.driver.cancel(slots)
                    return ""
            except ElementTrouble as why:
                return str(why)
        return f"no answer within {CANCEL_S:g} s"

    async def check(self, caller: User, site: str, request: SiteCheckRequest) -> SiteCheck:
        """Submit probe pilots; `checked` returns their progress. Raises Refused.

        FORBIDDEN for a token of one community if there are several: a probe is a pilot of the first
        community, and it ends the pause of its element for all.
        """
        require_for_all(caller, Permission.SITE_CONTROL, self.communities)
        return await self._begun().begin(site, request)

    async def checked(self, caller: User, name: str) -> SiteCheck:
        """Return a check with its progress. Raises Refused."""
        require_for_all(caller, Permission.SITE_CONTROL, self.communities)
        return self._begun().get(name)

    def _begun(self) -> SiteChecks:
        if self.checks is None:
            raise Refused(
                Code.UNAVAILABLE, "the factory has not started yet: try again in a moment"
            )
        return self.checks


def _view(one: WatchedElement, now: float, held: SiteMarkOf) -> ElementView:
    found = one.found
    return ElementView(
        site=one.site,
        element=one.name,
        kind=one.entry.kind,
        pilots=None if found is None else found.pilots,
        queued=None if found is None else found.queued.total(),
        pilots_max=one.entry.pilots_max,
        pledge=one.pledge,
        paused_s=max(0.0, one.open_at - now),
        credential_left_s=_left_s(one),
        credential_fault=one.credential is not None and one.credential.is_at_fault,
        trouble=one.trouble,
        held="disabled" if one.is_disabled else held(one.site, one.name),
    )


def _left_s(one: WatchedElement) -> float | None:
    return None if one.credential is None else one.credential.left_s
