"""The activity of live pilots, and its consequences for places and for the pilots."""

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Protocol

from ...observe.events import Log
from ..element_watch import WatchedElement
from ..reconciliation import sort_of
from ..site_files.sites import ElementEntry
from .communities import CommunityShape, shares
from .idle_pilots import ElementIdleness, IdlePilot, spare
from .plans import ElementShape, ElementState, FactoryPlan
from .trials import TrialKey, Trials


class LivePilots(Protocol):
    """The registered pilots, as the dispatch knows them."""

    def news(self) -> tuple[Sequence[str], Sequence[str]]:
        """Return pilots with a first job, and those that left without one, since the last call."""
        ...

    def idle(self) -> Mapping[str, float]:
        """Return the pilots without a running job, and their idle seconds. Omit silent pilots."""
        ...

    def has_worked(self, pilot: str) -> bool:
        """Return whether a pilot had a job, or may have had one."""
        ...

    async def drain(self, pilots: Mapping[str, str]) -> list[str]:
        """Drain idle pilots, each for its reason; return those that were still idle."""
        ...

    def silent(self, pilots: Iterable[str]) -> Container[str]:
        """Return those that sent no message for a while, or that were told to end."""
        ...

    async def lose(self, pilots: Mapping[str, str]) -> None:
        """Mark silent pilots as lost, each for its reason, except those that hold a job."""
        ...

    async def end_lost(self, pilots: Mapping[str, str]) -> None:
        """Give up lost pilots, each for its reason, except those that may still hold a job."""
        ...

    def room(self, site: str, element: str) -> int | None:
        """Return how many jobs an element may get now; None: no limit."""
        ...


class NoLivePilots:
    """A crew without pilots."""

    def news(self) -> tuple[Sequence[str], Sequence[str]]:
        return (), ()

    def idle(self) -> Mapping[str, float]:
        return {}

    def has_worked(self, pilot: str) -> bool:
        return True

    async def drain(self, pilots: Mapping[str, str]) -> list[str]:
        return []

    def silent(self, pilots: Iterable[str]) -> Container[str]:
        return ()

    async def lose(self, pilots: Mapping[str, str]) -> None:
        pass

    async def end_lost(self, pilots: Mapping[str, str]) -> None:
        pass

    def room(self, site: str, element: str) -> int | None:
        return None


class PilotActivity:
    """Knows for each pilot of the elements whether it found work."""

    def __init__(self, crew: LivePilots, log: Log) -> None:
        self._crew, self._log = crew, log
        self._trials = Trials()
        self._key_of: dict[str, TrialKey] = {}
        self._idle: Mapping[str, float] = {}
        self._entries: dict[tuple[str, str], ElementEntry] = {}

    def look(
        self, watched: Sequence[WatchedElement], wanted: Iterable[CommunityShape], now: float
    ) -> None:
        """Note the activity of pilots since the last look. `wanted`: places with waiting jobs."""
        self._key_of = {
            row.pilot: (one.site, one.name, *sort_of(row)) for one in watched for row in one.rows
        }
        self._forgive(watched)
        self._idle = self._crew.idle()
        worked, empty = self._crew.news()
        before = set(self._trials.by_place)
        self._trials.note(
            worked=self._keys(worked),
            empty=self._keys(empty),
            # A pilot that had a job may be too old for the waiting jobs: no sign against its place.
            idle=self._keys(
                pilot
                for pilot, idle_s in self._idle.items()
                if idle_s > 0 and not self._crew.has_worked(pilot)
            ),
            wanted={place.key for place in wanted},
            now=now,
        )
        for key in self._trials.by_place.keys() - before:
            why = self._trials.by_place[key].why(now)
            site, element, shape, community = key
            self._log(
                "place_in_doubt",
                site=site,
                element=element,
                shape=shape,
                community=community,
                why=why,
            )

    def _forgive(self, watched: Sequence[WatchedElement]) -> None:
        """Clear the record of elements whose entry in the file has changed."""
        entries = {one.key: one.entry for one in watched}
        for key in list(self._trials.by_place):
            if entries.get(key[:2]) != self._entries.get(key[:2]):
                del self._trials.by_place[key]
        self._entries = entries

    def _keys(self, pilots: Iterable[str]) -> list[TrialKey]:
        return [self._key_of[pilot] for pilot in pilots if pilot in self._key_of]

    def places(
        self, watched: Sequence[WatchedElement], there: Iterable[CommunityShape], now: float
    ) -> list[ElementShape]:
        """Return the places of elements for a plan."""
        at_of = {id(one): at for at, one in enumerate(watched)}
        return [self.place(at_of[id(one.element)], one, now) for one in there]

    def place(self, at: int, spot: CommunityShape, now: float) -> ElementShape:
        """Return a place for a plan. `at`: the number of its element there."""
        element, found, key = spot.element, spot.element.found, spot.key
        shape = element.entry.shapes[spot.shape]
        queued = 0 if found is None else found.queued[spot.sort]
        room, trial = self._trials.room(key, queued, now), self._trials.by_place.get(key)
        held = "" if trial is None else f"is in doubt: {trial.why(now)}"
        is_tried = self._crew.room(element.site, element.name)
        if is_tried is not None:  # it swallows jobs: at most one pilot, for the canary
            is_coming = found is not None and found.queued.total() > 0  # of any sort
            if not is_tried or is_coming:
                held = "is suspended: jobs fail there one after another"
            room = 1 if is_tried and not is_coming and room != 0 else 0
        return ElementShape(
            element=at,
            cores=shape.cores,
            memory_mb=shape.memory_mb,
            scratch_mb=shape.scratch_mb,
            gpus=shape.gpus,
            amounts=element.entry.pilot.amounts,
            community=spot.community,
            queued=queued,
            late=0 if found is None else found.late(spot.sort),
            room=room,
            in_doubt=room is not None and not element.is_gone,  # else none is cancelled
            held=held,
        )

    def is_suspended(self, element: WatchedElement) -> bool:
        """Return whether an element gets one pilot at a time, or none."""
        return self._crew.room(element.site, element.name) is not None

    def silent(self, element: WatchedElement) -> Container[str]:
        """Return the silent pilots among the registered ones of an element."""
        return self._crew.silent(row.pilot for row in element.rows if row.registered_at is not None)

    async def lose(self, pilots: Mapping[str, str]) -> None:
        """Mark silent pilots as lost that their element reports as ended."""
        await self._crew.lose(pilots)

    async def end_lost(self, pilots: Mapping[str, str]) -> None:
        """Give up silent pilots that their element has reported as ended for a while."""
        await self._crew.end_lost(pilots)

    async def let_go(
        self,
        watched: Sequence[WatchedElement],
        states: Sequence[ElementState],
        places: Sequence[ElementShape],
        plan: FactoryPlan,
    ) -> None:
        """End idle pilots that are not needed."""
        at_of = {one.key: at for at, one in enumerate(watched)}
        wanted = {places[at].element for at in range(len(places)) if plan.unmet >> at & 1}
        idle = [
            IdlePilot(pilot, at_of[key[:2]], idle_s)
            for pilot, idle_s in self._idle.items()
            if (key := self._key_of.get(pilot)) is not None
        ]
        homes = {one.element: _home(watched, states, one.element, wanted) for one in idle}
        chosen = spare(idle, homes)
        if chosen:
            for pilot in await self._crew.drain(chosen):
                site, element, *_ = self._key_of[pilot]
                self._log(
                    "pilot_let_go", pilot=pilot, site=site, element=element, why=chosen[pilot]
                )


def state_of(
    element: WatchedElement,
    now: float,
    *,
    communities: Sequence[str] = (),
    is_banned: bool = False,
    is_draining: bool = False,
    is_suspended: bool = False,
) -> ElementState:
    """Return the state of an element for a plan."""
    entry, found = element.entry, element.found
    return ElementState(
        name=element.label,
        pledge=element.pledge,
        pilots=None if found is None else found.pilots,
        queued=0 if found is None else found.in_queue,
        leaving=0 if found is None else found.leaving,
        quiet=0 if found is None else found.quiet,
        pilots_of={} if found is None else found.pilots_of,
        shares=shares(element.site_entry.communities, communities),
        pilots_max=entry.pilots_max,
        queued_max=entry.queued_max,
        submit_max=min(1, entry.submit_max) if is_suspended else entry.submit_max,
        cancel_max=entry.cancel_max,
        is_enabled=not element.is_disabled,
        is_banned=is_banned,
        is_draining=is_draining,
        pause_s=max(0.0, element.open_at - now),
        trouble=element.trouble,
        has_just_failed=element.has_just_failed(now),
    )


def _home(
    watched: Sequence[WatchedElement], states: Sequence[ElementState], at: int, wanted: set[int]
) -> ElementIdleness:
    entry, state = watched[at].entry, states[at]
    return ElementIdleness(
        is_known=state.pilots is not None,
        is_full=state.pilots is not None and state.pilots >= state.pilots_max,
        is_wanted=at in wanted,
        idle_s=entry.pilot.idle_s,
        drain_max=entry.cancel_max,
    )
