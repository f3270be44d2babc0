"""The factory: asks all elements, plans, and submits or cancels pilots, in rounds.

The store has the whole state. A pilot is stored before its element is asked, so that after a crash
the factory finds it by its stamp. The answers of an element are applied before the planning. An
element that does not answer is unknown and gets no pilot.
"""

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from pilotage.matcher.types import ClassSpec
from pilotage.proto.pilot_states import PilotState

from ..observe.events import Log
from ..pilots import record_slots as slot_records
from ..pilots.record_slots import NewSlot, SlotOutput, SlotRow
from ..ports import Clock, Randomness
from ..store.engine import Store
from ..store.errors import StoreError
from .element import PilotRequest, Slot, SlotState
from .element_watch import WatchedElement, shape_name
from .errors import Denied, ElementOperation, ElementTrouble, ElementUnreachable
from .orphans import WHY, Orphans, SlotKey
from .pilot_requests import PilotDefaults, new_pilot
from .planning.communities import CommunityShape, spots
from .planning.pilot_activity import LivePilots, NoLivePilots, PilotActivity, state_of
from .planning.pilot_demand import TEST, PilotDemand, WorkSource
from .planning.plans import (
    ClosedReason,
    ElementState,
    FactoryPlan,
    PlaceBlocker,
    PlanBounds,
    pilots_in_all,
    plan,
    why_none,
)
from .reconciliation import FactoryTimeouts, ReconcileResult, nameless, reconcile, sort_of

PAGE = 1_000
AT_ONCE = 32  # elements asked in parallel
FAILED_MAX = 3  # failed pilots in a row; then their element is paused
FETCH_MAX = 5  # outputs fetched from an element in one cycle
NO_CREW = NoLivePilots()
FETCH_TRIES = 2  # then the pilot is removed without its output, so that others can be fetched
WAIT_S = 60.0  # for all elements in one round; late ones continue beside the next rounds
TURN_S = 900.0  # of one element's turn


@dataclass(frozen=True)
class FactoryConfig:
    """The fixed settings of the factory."""

    communities: tuple[str, ...]  # whose pilots it submits
    central_url: str
    pilot_sh: str
    every_s: float = 15.0
    hide: tuple[str, ...] = ()  # from payloads of pilots on the central's machine
    ca: str = ""  # for these pilots: the authority of the central's certificate
    bounds: PlanBounds = PlanBounds()
    patience: FactoryTimeouts = FactoryTimeouts()


def _is_never_gone(site: str, element: str) -> bool:
    return False


class Factory:
    """Keeps the right number of pilots on the elements in use."""

    def __init__(
        self,
        *,
        store: Store,
        work: WorkSource,
        elements: Callable[[], Awaitable[Sequence[WatchedElement]]],
        clock: Clock,
        randomness: Randomness,
        log: Log,
        config: FactoryConfig,
        crew: LivePilots = NO_CREW,
        is_gone: Callable[[str, str], bool] = _is_never_gone,
    ) -> None:
        self._store, self._elements = store, elements
        self._clock, self._randomness, self._log, self._config = clock, randomness, log, config
        self._origins = {
            name: PilotDefaults(
                name, config.central_url, config.pilot_sh, config.hide, ca=config.ca
            )
            for name in config.communities
        }
        self._work, self._watched = work, list[WatchedElement]()
        self.outlook = PilotDemand(work, config.communities)
        self.activity = PilotActivity(crew, log)
        self._orphans = Orphans(store, is_gone, log)
        self.last_plan = FactoryPlan()

    async def run(self) -> None:
        """Run rounds. Ends by cancellation."""
        async with asyncio.TaskGroup() as turns:
            while True:
                await self._supervised_cycle(turns)
                await self._clock.sleep(self._config.every_s)

    def prospects(self, spec: ClassSpec) -> list[str]:
        """Return remarks about future pilots for a waiting job."""
        now, is_test = self._clock.monotonic(), spec.type == TEST
        in_all = pilots_in_all(self._state(one, now) for one in self._watched)

        def why(place: CommunityShape) -> ClosedReason | None:
            return self._why_none(place, in_all, is_test=is_test)

        return self.outlook.prospects(spec, why)

    def held(self, element: WatchedElement) -> str:
        """Return why an element or its places get fewer pilots; empty: no reason."""
        now = self._clock.monotonic()
        in_all = pilots_in_all(self._state(one, now) for one in self._watched)
        said: dict[str, None] = {}
        for place in spots([element], self._config.communities):
            closed = self._why_none(place, in_all, is_test=True)
            if closed is not None and closed.by in (PlaceBlocker.HELD, PlaceBlocker.LIMIT):
                said[closed.why] = None
            elif held := self.activity.place(0, place, now).held:  # the place has some room left
                said[held] = None
        return "; ".join(said)

    def _why_none(self, spot: CommunityShape, in_all: int, *, is_test: bool) -> ClosedReason | None:
        now = self._clock.monotonic()
        place, state = self.activity.place(0, spot, now), self._state(spot.element, now)
        return why_none(place, state, self._config.bounds, in_all, is_test=is_test)

    def _state(self, element: WatchedElement, now: float) -> ElementState:
        return state_of(
            element,
            now,
            communities=self._config.communities,
            is_banned=self._work.is_banned(*element.key),
            is_draining=self._work.is_draining(*element.key),
            is_suspended=self.activity.is_suspended(element),
        )

    async def _supervised_cycle(self, turns: asyncio.TaskGroup) -> None:
        try:
            await self._round(turns)
        except StoreError as why:
            self._log("factory_waits", why=str(why))
        except Exception:  # existing jobs and pilots continue without it
            self._log("loop_failed", loop="factory", error=traceback.format_exc())

    async def cycle(self) -> None:
        """Run one round, until each element is done."""
        async with asyncio.TaskGroup() as turns:
            await self._round(turns)

    async def _round(self, turns: asyncio.TaskGroup) -> None:
        """Ask every element, then plan, submit and cancel."""
        self._watched = watched = sorted(await self._elements(), key=lambda one: one.is_gone)
        rest = await self._read_rows(watched)
        await self._each(turns, watched, self._look)
        await self._orphans.look(watched, rest, self._clock, self._config.patience.gone_s)
        await self._carry_out(turns, watched)

    async def _read_rows(
        self, watched: Sequence[WatchedElement]
    ) -> Mapping[SlotKey, list[SlotRow]]:
        """Give the elements their rows; return the rows of other elements."""
        by_key: dict[tuple[str, str], list[SlotRow]] = {one.key: [] for one in watched}
        after = ""
        while rows := await self._store.read(slot_records.kept_slots, after=after, limit=PAGE):
            after = rows[-1].pilot
            for row in rows:
                by_key.setdefault((row.site, row.element), []).append(row)
        for one in watched:
            rows = by_key.pop(one.key)
            one.is_empty = not rows
            if not one.is_busy:
                one.rows = rows
        return by_key

    async def _each(
        self,
        turns: asyncio.TaskGroup,
        watched: Sequence[WatchedElement],
        do: Callable[[WatchedElement], Awaitable[None]],
    ) -> None:
        """Run `do` for all elements in parallel; one that fails or is slow delays no other.

        An element that is not done in time continues. It counts as busy, and the number of its
        pilots is unknown until it ends.
        """
        places = asyncio.Semaphore(AT_ONCE)

        async def supervised(element: WatchedElement) -> None:
            async with places:
                try:
                    async with asyncio.timeout(TURN_S):
                        await do(element)
                except TimeoutError:
                    element.found = None
                    late = ElementUnreachable(
                        ElementOperation.REACH, f"not done after {TURN_S:g} s"
                    )
                    element.failed(late, self._clock.monotonic())
                    self._tell(element, late)
                except ElementTrouble as why:
                    element.found = None
                    element.failed(why, self._clock.monotonic())
                    self._tell(element, why)
                except StoreError as why:
                    element.found = None
                    self._log("factory_waits", why=str(why))
                except Exception as why:  # a driver of others may raise anything
                    element.found = None
                    odd = ElementTrouble(ElementOperation.REACH, f"its driver failed: {why!r}")
                    element.failed(odd, self._clock.monotonic())
                    self._log("loop_failed", loop=element.label, error=traceback.format_exc())
                finally:
                    element.is_busy = False

        tasks: list[asyncio.Task[None]] = []
        for element in watched:
            if not element.is_busy:
                element.is_busy = True
                tasks.append(turns.create_task(supervised(element)))
        if tasks:
            await asyncio.wait(tasks, timeout=WAIT_S)
        for element in watched:
            if element.is_busy:
                element.found = None
                element.trouble = element.trouble or f"not done after {WAIT_S:g} s, it continues"

    def _tell(self, element: WatchedElement, why: ElementTrouble) -> None:
        self._log(
            "element_trouble",
            site=element.site,
            element=element.name,
            step=why.step.value,
            why=why.why,
            pause_s=element.pause_s,
        )

    # -- looking --------------------------------------------------------------------------------

    async def _look(self, element: WatchedElement) -> None:
        """Ask an element for all of its slots and act on the answer. Raises ElementTrouble."""
        if element.found is None and self._clock.monotonic() < element.open_at:
            return
        await self._name(element)
        slots = [row.slot for row in element.rows if row.slot is not None]
        said: Mapping[str, Slot] = {}
        if slots:
            said = await element.driver.states(slots)
            element.asked_at = self._clock.monotonic()
        elif element.is_to_be_asked(self._clock.monotonic()):
            await element.driver.reach()
            element.asked_at = self._clock.monotonic()
        elif element.asked_at is None and not element.rows:
            return  # its file wants no pilots there, so its pilots stay unknown
        now = self._clock.monotonic()
        element.seen.note(said, now)
        found = reconcile(
            element.rows,
            said,
            element.seen,
            wall=self._clock.wall(),
            now=now,
            patience=self._config.patience,
            silent=self.activity.silent(element),
        )
        await self._settle(element, found, said)
        element.found = found
        self._judge(element, found, now)

    def _judge(self, element: WatchedElement, found: ReconcileResult, now: float) -> None:
        """Pause an element whose pilots fail; a pilot that registers ends the pause."""
        heard_at = max((row.registered_at or 0.0 for row in element.rows), default=0.0)
        if heard_at > element.heard_at:
            element.heard_at, element.in_vain, element.open_at = heard_at, 0, 0.0
            element.answered()
        element.in_vain += len(found.fail)
        if found.fail and element.in_vain >= FAILED_MAX:
            element.came_to_nothing(element.in_vain, now)
            self._tell(element, ElementTrouble(ElementOperation.SUBMIT, element.trouble))
        elif (
            element.trouble and now >= element.open_at and not (element.in_vain or element.refuses)
        ):
            element.answered()

    async def _name(self, element: WatchedElement) -> None:
        """Ask the element for the slots of pilots whose slot is unknown."""
        stamps = nameless(element.rows)
        if not stamps:
            return
        names = await element.driver.find(stamps)
        element.asked_at = self._clock.monotonic()
        if names:
            element.refuses = False  # it took them after all
            await self._store.write(slot_records.place_slots, names)
            element.rows = [
                row
                if row.slot is not None or row.pilot not in names
                else _named(row, names[row.pilot])
                for row in element.rows
            ]

    async def _settle(
        self, element: WatchedElement, found: ReconcileResult, said: Mapping[str, Slot]
    ) -> None:
        found.fail = await self._end(found.fail, PilotState.FAILED, found)
        found.abort = await self._end(found.abort, PilotState.ABORTED, found)
        for pilot, reason in (*found.fail.items(), *found.abort.items()):
            self._log(
                "pilot_failed",
                pilot=pilot,
                site=element.site,
                element=element.name,
                why=reason,
            )
        if found.silent:
            await self.activity.lose(found.silent)
        if found.lost:
            await self.activity.end_lost(found.lost)
        if found.cancel:
            cancel = list(found.cancel.values())
            await self._if_it_can(element, element.driver.cancel(cancel))
        fetch = [row for row in found.fetch if element.tried[row.pilot] < FETCH_TRIES]
        waits = {row.pilot for row in fetch[FETCH_MAX:]}
        for row in fetch[:FETCH_MAX]:
            element.tried[row.pilot] += 1
            await self._if_it_can(element, self._fetch(element, row, said))
        forget = [row for row in found.forget if row.pilot not in waits]
        if slots := [row.slot for row in forget if row.slot is not None and row.slot in said]:
            await self._if_it_can(element, element.driver.forget(slots))
        if forget:
            await self._store.write(slot_records.forget_slots, [row.pilot for row in forget])
            for row in forget:
                del element.tried[row.pilot]

    async def _end(
        self, pilots: dict[str, str], state: PilotState, found: ReconcileResult
    ) -> dict[str, str]:
        """End pilots that have not registered; return those. Registered ones stay."""
        if not pilots:
            return pilots
        ended = set(
            await self._store.write(slot_records.end_waiting, pilots, state, self._clock.wall())
        )
        for pilot in pilots.keys() - ended:  # it registered in between, so it may hold a job
            found.cancel.pop(pilot, None)
        return {pilot: why for pilot, why in pilots.items() if pilot in ended}

    async def _if_it_can(self, element: WatchedElement, work: Awaitable[None]) -> None:
        """Do useful but unimportant work, whose failure must not keep others from their pilots.

        Raises ElementUnreachable, which ends the element's turn: a slow call is tried once in a
        round.
        """
        try:
            await work
        except Denied as why:
            self._tell(element, why)

    async def _fetch(self, element: WatchedElement, row: SlotRow, said: Mapping[str, Slot]) -> None:
        assert row.slot is not None
        output = await element.driver.output(row.slot)
        code = said[row.slot].exit_code
        await self._store.write(
            slot_records.keep_output,
            row.pilot,
            SlotOutput(exit_code=code, stdout=output.stdout, stderr=output.stderr),
        )

    # -- planning and doing ---------------------------------------------------------------------

    async def _carry_out(self, turns: asyncio.TaskGroup, watched: Sequence[WatchedElement]) -> None:
        now = self._clock.monotonic()
        self.outlook.look([one for one in watched if not one.is_gone])
        demands = self.outlook.demands()
        places = spots(watched, self._config.communities)  # counted as in `PilotDemand.look`
        wanted = 0
        for demand in demands:
            wanted |= demand.places
        self.activity.look(watched, (one for at, one in enumerate(places) if wanted >> at & 1), now)
        shapes = self.activity.places(watched, places, now)
        states = [self._state(one, now) for one in watched]
        self.last_plan = found = plan(shapes, states, demands, self._config.bounds)
        submit: dict[int, list[tuple[CommunityShape, int]]] = {}
        cancel: dict[int, list[tuple[CommunityShape, int]]] = {}
        index = {id(one): at for at, one in enumerate(watched)}
        for chosen, by_element in ((found.submit, submit), (found.cancel, cancel)):
            for at, count in chosen.items():
                place = places[at]
                by_element.setdefault(index[id(place.element)], []).append((place, count))

        async def do(element: WatchedElement) -> None:
            at = index[id(element)]
            await self._submit(element, submit.get(at, []))
            await self._take_back(element, cancel.get(at, []))

        await self._each(turns, [watched[at] for at in {*submit, *cancel}], do)
        await self.activity.let_go(watched, states, shapes, found)

    async def _submit(
        self, element: WatchedElement, wanted: Sequence[tuple[CommunityShape, int]]
    ) -> None:
        """Store pilots, then ask the element to start them. Raises ElementTrouble."""
        requests: list[PilotRequest] = []
        slots: list[NewSlot] = []
        for place, count in wanted:
            for _ in range(count):
                request, slot = self._new(place)
                requests.append(request)
                slots.append(slot)
        if not requests:
            return
        await self._store.write(slot_records.add_slots, slots)
        has_refused, element.refuses = element.refuses, True  # until it accepts some
        try:
            submitted = await element.driver.submit(requests)
        except Denied as why:  # nothing happened: record why
            refused = dict.fromkeys((one.stamp for one in requests), why.why)
            await self._store.write(
                slot_records.end_waiting, refused, PilotState.ABORTED, self._clock.wall()
            )
            raise
        element.refuses = has_refused
        if has_refused and submitted.slots:
            element.answered()
        await self._store.write(slot_records.place_slots, submitted.slots)
        if submitted.refused:
            await self._store.write(
                slot_records.end_waiting, submitted.refused, PilotState.ABORTED, self._clock.wall()
            )
        self._log(
            "pilots_submitted",
            site=element.site,
            element=element.name,
            pilots=len(submitted.slots),
            refused=len(submitted.refused),
        )
        if submitted.refused and not submitted.slots:  # all were refused, one by one
            raise Denied(ElementOperation.SUBMIT, next(iter(submitted.refused.values())))

    def _new(self, place: CommunityShape) -> tuple[PilotRequest, NewSlot]:
        return new_pilot(
            self._origins[place.community],
            place.element,
            place.element.entry.shapes[place.shape],
            shape_name(place.shape),
            clock=self._clock,
            randomness=self._randomness,
        )

    async def _take_back(
        self, element: WatchedElement, unwanted: Sequence[tuple[CommunityShape, int]]
    ) -> None:
        """Cancel queued pilots, the newest first. Raises ElementTrouble."""
        slots: dict[str, str] = {}
        for place, count in unwanted:
            waiting = [
                row
                for row in element.rows
                if sort_of(row) == place.sort
                and row.slot is not None
                and row.state is PilotState.WAITING
                and element.seen.since.get(row.slot, (None,))[0] is SlotState.QUEUED
            ]
            waiting.sort(key=lambda row: -row.made_at)
            for row in waiting[:count]:
                assert row.slot is not None
                slots[row.pilot] = row.slot
        if not slots:
            return
        # Write the store first: the pilot can then no longer register and take a job.
        why = dict.fromkeys(slots, WHY if element.is_gone else "no job needs it")
        wall = self._clock.wall()
        ended = await self._store.write(slot_records.end_waiting, why, PilotState.ABORTED, wall)
        if ended:
            await element.driver.cancel([slots[pilot] for pilot in ended])


def _named(row: SlotRow, slot: str) -> SlotRow:
    return msgspec.structs.replace(row, slot=slot)
