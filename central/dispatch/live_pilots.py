"""The living pilots, as the planning of further pilots needs them."""

from collections.abc import Container, Iterable, Mapping, Sequence

from pilotage.proto.pilot_states import FINAL, LIVING, PilotEvent, PilotState

from ..outbound import Outbound
from ..pilots.presence import Presence
from ..ports import Clock
from ..settings import LeaseSettings
from ..store.errors import StoreError
from .follow_up import FollowUp
from .memory import Memory


class LivePilotService:
    """Reports news and idle times of pilots, and drains them."""

    def __init__(
        self,
        memory: Memory,
        *,
        follow_up: FollowUp,
        outbound: Outbound,
        clock: Clock,
        settings: LeaseSettings,
    ) -> None:
        self._queue, self._pilots, self._leases = memory.queue, memory.pilots, memory.leases
        self._hosts, self._pilot_news = memory.hosts, memory.pilot_news
        self._follow_up, self._outbound, self._clock = follow_up, outbound, clock
        self._heard_s = 2 * settings.beat_s
        self._since: dict[str, float] = {}

    def news(self) -> tuple[Sequence[str], Sequence[str]]:
        """Return the pilots that got their first job, and those that left without one.

        Each pilot is returned once.
        """
        return self._pilot_news.news()

    def idle(self) -> Mapping[str, float]:
        """Return the idle pilots, and for how many seconds each has been idle.

        Silent pilots are omitted: the central does not know what they do.
        """
        now = self._clock.monotonic()
        since: dict[str, float] = {}
        for pilot in self._queue.matcher.parked_pilots():
            presence = self._pilots.find(pilot)
            if presence is not None and self._is_idle(presence, now):
                since[pilot] = self._since.get(pilot, now)
        self._since = since
        return {pilot: now - at for pilot, at in since.items()}

    def _is_idle(self, presence: Presence, now: float) -> bool:
        """Return whether a pilot runs no job at all and was heard lately."""
        offer = presence.offer
        return (
            presence.state is PilotState.RUNNING
            and not presence.drain
            and offer is not None
            and offer.cores_free >= offer.cores
            and not self._leases.holds(presence.pilot)
            and now - presence.heard <= self._heard_s
        )

    def has_worked(self, pilot: str) -> bool:
        """Return whether a pilot had a job, or may have had one before this central started."""
        return pilot not in self._pilot_news.without

    async def drain(self, pilots: Mapping[str, str]) -> list[str]:
        """Drain idle pilots, each with its reason. Return those that were still idle."""
        gone: list[str] = []
        for pilot, why in pilots.items():
            presence = self._pilots.find(pilot)
            if presence is None or not self._is_idle(presence, self._clock.monotonic()):
                continue
            # Before the write: from here on the pilot gets no job.
            presence.drain = True
            self._queue.matcher.withdraw(pilot)
            try:
                await self._follow_up.pilot_moved(presence, PilotEvent.DRAIN, why)
            except StoreError:
                presence.drain = False
                raise
            self._outbound.drain(presence.community, pilot)
            gone.append(pilot)
        return gone

    def silent(self, pilots: Iterable[str]) -> Container[str]:
        """Return those that sent no message for two heartbeats, or were told to end."""
        now = self._clock.monotonic()
        found = ((pilot, self._pilots.find(pilot)) for pilot in pilots)
        return {
            pilot
            for pilot, presence in found
            if presence is not None and self._is_silent(presence, now)
        }

    def _is_silent(self, presence: Presence, now: float) -> bool:
        return presence.is_disowned or now - presence.heard > self._heard_s

    async def lose(self, pilots: Mapping[str, str]) -> None:
        """Mark silent pilots as lost, each with its reason. A pilot that holds a job stays."""
        for pilot, why in pilots.items():
            presence = self._pilots.find(pilot)
            if presence is None or presence.state not in LIVING:
                continue
            is_silent = self._is_silent(presence, self._clock.monotonic())
            if is_silent and not self._leases.holds(pilot):
                await self._follow_up.pilot_moved(presence, PilotEvent.SILENT, why)

    async def end_lost(self, pilots: Mapping[str, str]) -> None:
        """Give up lost pilots, each with its reason.

        Pilots that may still hold a job, or that have been heard again, are left unchanged.
        """
        for pilot, why in pilots.items():
            presence = self._pilots.find(pilot)
            if presence is None or presence.state is not PilotState.LOST:
                continue
            if self._leases.of_pilot(pilot):
                continue
            await self._follow_up.pilot_moved(presence, PilotEvent.GIVEN_UP, why)
            if presence.state in FINAL:
                self._pilots.forget(pilot)

    def room(self, site: str, element: str) -> int | None:
        """Return how many jobs an element may get now; None: as many as fit."""
        return self._hosts.room_of_element(site, element, self._clock.monotonic())
