"""Keeps jobs from hosts and elements that swallow them, and a job from hosts that failed it."""

from collections.abc import Iterable
from typing import Final

from pilotage.matcher.types import LiveOffer, Match
from pilotage.proto.failures import FailureClass
from pilotage.proto.messages import How, Usage

from ..jobs.leases import Lease, LeasePhase
from ..observe.events import Log
from ..pilots.presence import Presence
from ..ports import Clock
from ..sites.failure_rates import INFRA
from ..sites.host_scores import PlaceChange
from ..sites.suspended_hosts import QUICK_S, HostChange, HostFailure, match_canary, match_without
from .memory import Memory

ASK_AGAIN_S: Final = 10.0  # for a pilot that may not get the waiting jobs

_EVENTS: Final = {
    PlaceChange.SUSPENDED: "host_suspended",
    PlaceChange.REPORTED: "host_suspicious",
    PlaceChange.RESTORED: "host_restored",
}


class BlackHoleService:
    """Reports ends of attempts to `SuspendedHosts`; withdraws the offers of suspended places."""

    def __init__(
        self,
        memory: Memory,
        clock: Clock,
        log: Log,
    ) -> None:
        self._hosts, self._pilot_news, self._queue = memory.hosts, memory.pilot_news, memory.queue
        self._pilots, self._leases = memory.pilots, memory.leases
        self._rates = memory.rates
        self._clock, self._log = clock, log

    def room(self, presence: Presence) -> int | None:
        """Return how many jobs an asking pilot may get now; None: as many as fit."""
        if presence.ask == 1 and presence.session == 1:
            self._pilot_news.came(presence.pilot)
        now = self._clock.monotonic()
        room = self._hosts.room(presence.site, presence.element, presence.host, now)
        return room if room is None or room > 0 else self._room_of_canary(presence, now)

    def holds(self, presence: Presence) -> bool:
        """Return whether the pilot's host or element is suspended or on trial."""
        return self._hosts.is_held(presence.site, presence.element, presence.host)

    def _room_of_canary(self, presence: Presence, now: float) -> int | None:
        """Return the room after counting canaries that have run long enough as successes."""
        where = presence.site, presence.element, presence.host
        for job in self._hosts.canaries(*where):
            lease = self._leases.of_job(job)
            if lease is None or lease.phase is not LeasePhase.LIVE or lease.started_at is None:
                continue
            ran_s = self._clock.wall() - lease.started_at
            if ran_s >= QUICK_S:
                self._tell(self._hosts.did_well(*where, lease.kind.owner, now))
        return self._hosts.room(*where, now)

    def match(
        self, presence: Presence, offer: LiveOffer, jobs_max: int, room: int | None
    ) -> tuple[list[Match], bool]:
        """Match jobs for a pilot. Return them, and whether the pilot must not be parked.

        A parked pilot is woken for any job that fits its offer, even if it may not get it.
        """
        now = self._clock.monotonic()
        most = jobs_max if room is None else min(room, jobs_max)
        aside = self._hosts.aside(presence.site, presence.host, now)
        if not aside and room is None:
            found = self._queue.matcher.match(offer, most, now)
            if found:
                self._pilot_news.works(presence.pilot)
            return found, False
        tried = self._hosts.tried(presence.site, presence.element, presence.host)
        if tried and room is not None:
            classes, is_aside = self._queue.classes, False

            def has_tried(one: Match) -> bool:
                return classes[one.class_id].kind.owner in tried

            found = match_canary(self._queue.matcher, offer, aside, has_tried, now)
        else:
            found, is_aside = match_without(self._queue.matcher, offer, most, aside, now)
        if found:
            self._pilot_news.works(presence.pilot)
        if room is not None:
            where = presence.site, presence.element, presence.host
            self._hosts.went(*where, [one.job for one in found], now)
        return found, is_aside or room is not None

    def did_well(self, lease: Lease) -> None:
        """Count an attempt that succeeded."""
        now = self._clock.monotonic()
        presence = self._pilots.find(lease.pilot)
        if presence is not None:
            where = presence.site, presence.element, presence.host
            self._tell(self._hosts.did_well(*where, lease.kind.owner, now))
        self._rate(lease.site, is_infra=False, now=now)

    def ended(self, lease: Lease, how: How | None, usage: Usage | None, *, why: str) -> None:
        """Count an attempt that failed, or whose lease expired (`how` is None)."""
        presence = self._pilots.find(lease.pilot)
        if presence is None:
            return
        end = HostFailure(
            job=lease.job,
            owner=lease.kind.owner,
            how=how or How.STALE,
            ran_s=usage.wall_s if usage is not None else 0.0,
            why=why,
        )
        where = presence.site, presence.element, presence.host
        self._tell(self._hosts.ended(*where, end, self._clock.monotonic()))

    def _tell(self, changes: Iterable[HostChange]) -> None:
        for one in changes:
            self._log(
                _EVENTS[one.verdict],
                site=one.site,
                element=one.element,
                host=one.host,
                why=one.why,
            )
            if one.verdict is PlaceChange.SUSPENDED:
                self._withdraw()

    def failed_lately(self, site: str, host: str, *, besides: int) -> int:
        """Return how many jobs failed on a host lately, not counting the job `besides`."""
        return self._hosts.failed_lately(site, host, besides=besides)

    def suspend(self, site: str, host: str, *, for_s: float, why: str) -> bool:
        """Keep jobs from a host for a time.

        Return False if the host is suspended already or must not be suspended.
        """
        now = self._clock.monotonic()
        if not self._hosts.suspend(site, host, for_s=for_s, why=why, now=now):
            return False
        self._log("host_suspended", site=site, element="", host=host, why=why)
        self._withdraw()
        return True

    def classified(self, lease: Lease, failure: FailureClass | None) -> None:
        """Count a failure by its class; suspend the site's elements if it fails far too often."""
        self._rate(lease.site, is_infra=failure in INFRA, now=self._clock.monotonic())

    def _rate(self, site: str, *, is_infra: bool, now: float) -> None:
        why = self._rates.ended(site, is_infra=is_infra, now=now)
        if not why:
            return
        for element in self._hosts.suspend_elements(site, why=why, now=now):
            self._log("host_suspended", site=site, element=element, host="", why=why)
        self._withdraw()

    def _withdraw(self) -> None:
        """Withdraw the parked offers of pilots at suspended places.

        Nothing wakes these pilots then. Their next ask gets the right answer.
        """
        for one in self._pilots.all():
            if self._hosts.is_held(one.site, one.element, one.host):
                self._queue.matcher.withdraw(one.pilot)
