"""Shows sites to people, and carries out operators' actions: ban, drain and enable."""

import asyncio
import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from pilotage.proto.api.sites import (
    CommunityShare,
    HostView,
    SiteAction,
    SiteActionName,
    SiteDetail,
    SiteMark,
    Sites,
    SiteView,
)
from pilotage.proto.job_states import JobState
from pilotage.proto.pilot_states import FINAL, LIVING, PilotEvent, PilotState
from pilotage.proto.problems import Code

from ..accounts.counters import Counters
from ..errors import Refused
from ..identity.callers import Caller, User
from ..identity.policy import Permission, Reach, reach, require_for_all
from ..identity.scope import Owners
from ..jobs.leases import LeasePhase, LeaseTable
from ..observe.events import Log
from ..observe.times import shown
from ..outbound import Outbound
from ..pauses import by_and_by
from ..pilots import record as pilot_records
from ..pilots.dispatch_port import PilotMoves
from ..pilots.presence import Pilots, Presence
from ..ports import Clock, SiteFile, SiteFiles
from ..store.engine import Store
from ..store.errors import StoreError
from . import record as mark_records
from .action_keys import SiteActionBook, open_book
from .record import MarkKind, PlaceMark
from .shares import community_shares
from .site_marks import SETTINGS, SiteMarks
from .suspended_hosts import SuspendedHosts

_MARKS = {SiteActionName.BAN: MarkKind.BANNED, SiteActionName.DRAIN: MarkKind.DRAINING}


class SiteMemory(Protocol):
    """The tables in memory that this module needs."""

    @property
    def places(self) -> SiteMarks: ...
    @property
    def pilots(self) -> Pilots: ...
    @property
    def hosts(self) -> SuspendedHosts: ...
    @property
    def leases(self) -> LeaseTable: ...
    @property
    def counters(self) -> Counters: ...
    @property
    def owners(self) -> Owners: ...


class SiteService:
    """Shows sites, and carries out operators' actions on them."""

    def __init__(
        self,
        *,
        store: Store,
        memory: SiteMemory,
        files: SiteFiles,
        moves: PilotMoves,
        outbound: Outbound,
        clock: Clock,
        log: Log,
        communities: Sequence[str] = (),
    ) -> None:
        """`communities`: all communities with pilots at this central."""
        self._store, self._files, self._communities = store, files, communities
        self._places, self._pilots, self._hosts = memory.places, memory.pilots, memory.hosts
        self._leases, self._counters = memory.leases, memory.counters
        self._owners, self._moves, self._outbound = memory.owners, moves, outbound
        self._clock, self._log = clock, log
        self._changing = asyncio.Lock()

    async def all(self, caller: Caller) -> Sites:
        """Return the sites that have a file, pilots, jobs or a ban."""
        files, figures = self._files.files(), self._figures(caller)
        communities = community_shares(files, self._pilots.all(), self._community(caller))
        names = sorted({*figures, *files, *self._places.sites()})
        shares = shares_of(files)
        return Sites(
            sites=[
                site_view(
                    name,
                    figures.get(name, _NOTHING),
                    files.get(name),
                    shares.get(name),
                    self._places,
                    communities.get(name, []),
                )
                for name in names
            ]
        )

    async def show(self, caller: Caller, site: str) -> SiteDetail:
        """Return all facts about one site."""
        return self._detail(caller, site)

    async def act(self, caller: Caller, site: str, action: SiteAction) -> SiteDetail:
        """Ban, drain or enable a site or an element, at once and also after a restart.

        A repeated action with the same key gets the first answer again. Raises Refused:
        KEY_REUSED if the key belongs to a different action; FORBIDDEN if the token is for one
        community and several have pilots here.
        """
        assert isinstance(caller, User)
        require_for_all(caller, Permission.SITE_CONTROL, self._communities)
        who = self._owners.word(caller.issuer, caller.subject)
        async with self._changing:  # keeps the order of changes the same in store and memory
            book = await open_book(self._store, self._clock, caller, site, action)
            if book.is_over:
                self._log("acted_again", action=action.action.value, who=who)
            else:
                await self._carry_out(caller, site, action, who, book)
        ordered = book.told()
        return msgspec.structs.replace(self._detail(caller, site), told=ordered)

    async def _carry_out(
        self, caller: User, site: str, action: SiteAction, who: str, book: SiteActionBook
    ) -> None:
        place = f"{site}/{action.element}" if action.element else site
        try:
            if book.is_new:
                self._known(caller, site, action.element)
                if action.host:
                    self._lift_host(site, action)
                else:
                    await self._change(place, action, who, book)
        except StoreError:
            raise  # a repetition of the action completes it
        except Refused as why:
            await book.deny(why)
            raise
        await book.close(0 if action.host else await self._follow(place))
        place = f"{site}, host {action.host}" if action.host else place
        self._log("site_said", place=place, what=action.action.value, who=who, why=action.reason)

    async def _change(self, place: str, action: SiteAction, who: str, book: SiteActionBook) -> None:
        mark = _MARKS.get(action.action)
        if mark is not None:
            at = self._clock.wall()
            row = PlaceMark(place=place, mark=mark, who=who, reason=action.reason, at=at)
            await self._store.write(mark_records.put_mark, row, action=book.begun)
            self._places.put(row)
        else:
            lifted = self._lifted(place)
            await self._store.write(mark_records.drop_marks, lifted, action=book.begun)
            for one in lifted:
                self._places.drop(one)
            self._hosts.lift_all(place.partition("/")[0], action.element)
            self._check_settings(place)

    def _lift_host(self, site: str, action: SiteAction) -> None:
        """End the suspension of a host by order of a person. Raises Refused."""
        if action.action is not SiteActionName.ENABLE or action.element:
            raise Refused(
                Code.INVALID,
                f"host: found {action.host!r} with the action {action.action.value!r}"
                f"{' of an element' if action.element else ''}; a host can only be enabled, "
                "without an element: ban or drain a site or an element instead",
                field="host",
            )
        if not self._hosts.lift(site, host=action.host):
            raise Refused(
                Code.NOT_FOUND,
                f"host {action.host!r} of site {site} is not suspended, so it cannot be enabled"
                f"{_near(action.host, {one.host for one in self._held(site)})}",
                field="host",
            )

    def _held(self, site: str) -> list[HostView]:
        """Return the hosts of a site, then the elements, whose status is not open."""
        now = self._clock.monotonic()
        hosts, elements = self._hosts.shown()
        return [
            HostView(
                host=one.place[1] if one in hosts else "",
                element=one.place[1] if one in elements else "",
                state=one.standing.value,
                since_s=round(now - one.since),
                left_s=max(0.0, round(one.until - now)) if one.is_closed else 0.0,
                jobs=one.jobs,
                owners=one.owners,
                reason=one.why,
            )
            for one in (*hosts, *elements)
            if one.place[0] == site
        ]

    def _held_for(self, caller: Caller, site: str) -> list[HostView]:
        """Return the hosts and elements of `_held` that a caller may see.

        If there are several communities, a caller of one sees only places with its own pilots,
        and no reasons, since a reason may come from another community's job.
        """
        community, held = self._community(caller), self._held(site)
        if community is None or len(self._communities) <= 1:
            return held
        own = [one for one in self._pilots.all() if one.community == community and one.site == site]
        places = {("", one.element) for one in own} | {(one.host, "") for one in own}
        return [
            msgspec.structs.replace(one, reason="")
            for one in held
            if (one.host, one.element) in places
        ]

    def _lifted(self, place: str) -> list[str]:
        """Return the marked places that an `enable` opens: a site includes its elements.

        Raises Refused for an element if its whole site is marked.
        """
        site, _, element = place.partition("/")
        whole = self._places.find(site)
        if element and whole is not None:
            raise Refused(
                Code.ILLEGAL_STATE,
                f"all of site {site} is {whole.mark.value}: enable the site first, "
                "then ban or drain single elements",
                field="element",
            )
        if element:
            return [place]
        return [one.place for one in self._places.of_site(site)]

    def _check_settings(self, place: str) -> None:
        """Raise Refused if the settings ban the place."""
        by_settings = self._places.by_settings(place)
        if by_settings:
            raise Refused(
                Code.ILLEGAL_STATE,
                f"{', '.join(by_settings)}: banned by the setting matcher.banned; "
                "to lift the ban, change the setting and restart the central",
            )

    async def _follow(self, place: str) -> int:
        """Apply marks to the pilots at a place. Return how many got the order to drain."""
        ordered = 0
        async for presence in by_and_by(self._pilots.all(), self._clock):
            if place not in (presence.site, f"{presence.site}/{presence.element}"):
                continue
            if self._pilots.find(presence.pilot) is not presence:
                continue
            self._offer_again(presence)
            if self._places.is_draining(presence.site, presence.element):
                ordered += await self._drain(presence)
        self._moves.wake()
        return ordered

    def _offer_again(self, presence: Presence) -> None:
        """Apply a new or ended ban to the parked offer of a pilot."""
        if not presence.restrict(self._places):
            return
        ask = self._moves.parked_ask(presence.pilot)
        offer = presence.free_offer(self._leases.of_pilot(presence.pilot))
        if ask and offer is not None:
            self._moves.park_again(offer, ask)

    async def _drain(self, presence: Presence) -> int:
        if presence.drain:
            return 0
        presence.drain = True
        try:
            return await self._tell_to_drain(presence)
        except StoreError:
            presence.drain = False  # so that a repetition of the action drains this pilot
            raise

    async def _tell_to_drain(self, presence: Presence) -> int:
        if presence.state not in LIVING:
            # The pilot gets the order when it is back.
            await self._store.write(pilot_records.order_pilot, presence.pilot)
            return 0
        self._moves.withdraw(presence.pilot)
        if presence.state is PilotState.RUNNING:
            await self._moves.pilot_moved(presence, PilotEvent.DRAIN, "its site is draining")
        self._outbound.drain(presence.community, presence.pilot)
        return 1

    # -- views ----------------------------------------------------------------------------------

    def _known(self, caller: Caller, site: str, element: str = "") -> None:
        """Raise Refused if the site or element is unknown."""
        files = self._files.files()
        sites = {*files, *self._figures(caller), *self._places.sites()}
        if site not in sites:
            raise Refused(
                Code.NOT_FOUND,
                f"there is no site {site!r}: it has no site file, no pilots and no jobs"
                f"{_near(site, sites)}",
                field="site",
            )
        if not element:
            return
        elements = {one.element for one in files[site].elements} if site in files else set[str]()
        elements |= {one.element for one in self._pilots.all() if one.site == site}
        marked = {one.place.partition("/")[2] for one in self._places.of_site(site)}
        if element not in elements | marked:
            raise Refused(
                Code.NOT_FOUND,
                f"site {site} has no element {element!r}{_near(element, elements)}",
                field="element",
            )

    def _detail(self, caller: Caller, site: str) -> SiteDetail:
        self._known(caller, site)
        files = self._files.files()
        file = files.get(site)
        figures = self._figures(caller).get(site, _NOTHING)
        community = self._community(caller)
        states = Counter(
            one.state.value
            for one in self._pilots.all()
            if one.site == site and one.state not in FINAL
            if community is None or one.community == community
        )
        of = community_shares(files, self._pilots.all(), community).get(site, [])
        return SiteDetail(
            view=site_view(site, figures, file, shares_of(files).get(site), self._places, of),
            contact=file.contact if file is not None else "",
            marks=_marks(site, self._places),
            elements=list(file.elements) if file is not None else [],
            states=dict(sorted(states.items())),
            hosts=self._held_for(caller, site),
        )

    def _community(self, caller: Caller) -> str | None:
        assert isinstance(caller, User)
        return None if reach(caller, Permission.PILOT_READ) is Reach.ALL else caller.community

    def _figures(self, caller: Caller) -> dict[str, dict[str, int]]:
        """Count pilots, cores and jobs by site, as far as the caller may see them."""
        community = self._community(caller)
        found: dict[str, dict[str, int]] = {}
        for presence in self._pilots.all():
            if presence.state not in LIVING or (community and presence.community != community):
                continue
            offer = presence.offer
            site = found.setdefault(presence.site, dict(_NOTHING))
            site["pilots"] += 1
            site["cores"] += offer.cores if offer else 0
            site["cores_free"] += self._cores_free(presence)
        for kind, name, state, count in self._counters.rows():
            if name and (not community or kind.community == community):
                site = found.setdefault(name, dict(_NOTHING))
                if state in (JobState.MATCHED, JobState.RUNNING):
                    site["running"] += count
                elif state is JobState.DONE:
                    site["done"] += count
                elif state is JobState.FAILED:
                    site["failed"] += count
        return found

    def _cores_free(self, presence: Presence) -> int:
        if presence.offer is None:
            return 0
        held = self._leases.of_pilot(presence.pilot)
        used = sum(lease.grant.cores for lease in held if lease.phase is LeasePhase.LIVE)
        return max(0, presence.offer.cores - used)


_NOTHING = {"pilots": 0, "cores": 0, "cores_free": 0, "running": 0, "done": 0, "failed": 0}


def shares_of(files: Mapping[str, SiteFile]) -> dict[str, tuple[float, float | None]]:
    """Return the planned and the actual share of each pledging site in all pilots' time.

    Sites without a pledge, or without an element that gets pilots, are omitted.
    """
    pledges = {
        name: one.pledge
        for name, one in files.items()
        if one.enabled and one.pledge and one.gets_pilots
    }
    pledged, had_s = sum(pledges.values()), sum(files[name].pilot_s for name in pledges)
    return {
        name: (pledge / pledged, files[name].pilot_s / had_s if had_s > 0 else None)
        for name, pledge in pledges.items()
    }


def site_view(
    name: str,
    figures: Mapping[str, int],
    file: SiteFile | None,
    share: tuple[float, float | None] | None,
    places: SiteMarks,
    communities: Sequence[CommunityShare] = (),
) -> SiteView:
    """Return the view of a site for people."""
    marks = {one.place: one.mark for one in places.of_site(name)}
    banned = {place for place, mark in marks.items() if mark is MarkKind.BANNED}
    banned |= set(places.by_settings(name))
    draining = {place for place, mark in marks.items() if mark is MarkKind.DRAINING}
    wanted, had = share or (None, None)
    return SiteView(
        site=name,
        **figures,
        banned=name in banned,
        banned_elements=_elements(banned),
        draining=name in draining,
        draining_elements=_elements(draining),
        enabled=file is None or file.enabled,
        pledge=file.pledge if file is not None else None,
        share_wanted=wanted,
        share_had=had,
        trouble=file.trouble if file is not None else "",
        communities=list(communities),
    )


def _elements(places: set[str]) -> tuple[str, ...]:
    """Return the elements among places."""
    return tuple(
        sorted(element for _, _, element in (one.partition("/") for one in places) if element)
    )


def _marks(site: str, places: SiteMarks) -> list[SiteMark]:
    found = [
        SiteMark(
            place=one.place,
            mark=one.mark.value,
            who=one.who,
            reason=one.reason,
            at=shown(one.at),
        )
        for one in places.of_site(site)
    ]
    by_settings = places.by_settings(site)
    return found + [
        SiteMark(place=one, mark=MarkKind.BANNED.value, who=SETTINGS) for one in by_settings
    ]


def _near(word: str, known: set[str]) -> str:
    near = difflib.get_close_matches(word, sorted(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""
