"""`pilotage site check`: runs probes at the elements of a site and keeps their results."""

import asyncio
import traceback
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pilotage.proto.api.sites import SiteCheck, SiteCheckRequest
from pilotage.proto.problems import Code

from ..errors import Refused
from ..observe.events import Log
from ..ports import Clock, Randomness
from ..store.engine import Store
from .element_book import ElementBook
from .element_watch import WatchedElement
from .pilot_requests import PilotDefaults
from .planning.communities import shares
from .probe import Probe

RUNNING_MAX = 16  # checks that run at once; more are refused
KEPT_MAX = 100  # checks whose results are kept
AT_ONCE = 8  # elements of one check
LATE_S = 60.0  # extra time in which a probe cleans up


@dataclass
class _Check:
    id: str
    site: str
    element: str
    probes: list[Probe]
    is_done: bool = False

    def view(self) -> SiteCheck:
        return SiteCheck(
            check=self.id,
            site=self.site,
            done=self.is_done,
            ok=self.is_done and all(one.is_ok for one in self.probes),
            elements=[one.view() for one in self.probes],
        )


class SiteChecks:
    """Runs checks, and remembers the last ones."""

    def __init__(
        self,
        *,
        book: ElementBook,
        store: Store,
        origin: PilotDefaults,
        has_asked: Callable[[str], bool],
        held: Callable[[str, str], str],
        clock: Clock,
        randomness: Randomness,
        log: Log,
        communities: Sequence[str] = (),
    ) -> None:
        self._communities = communities
        self._book, self._store, self._origin = book, store, origin
        self._has_asked, self._held = has_asked, held
        self._clock, self._randomness, self._log = clock, randomness, log
        self._checks: OrderedDict[str, _Check] = OrderedDict()
        self._waiting: asyncio.Queue[tuple[_Check, float]] = asyncio.Queue(maxsize=RUNNING_MAX)

    async def run(self) -> None:
        """Run the checks that were begun. Ends by cancellation."""
        async with asyncio.TaskGroup() as group:
            while True:
                check, timeout_s = await self._waiting.get()
                group.create_task(self._all(check, timeout_s))

    async def begin(self, site: str, request: SiteCheckRequest) -> SiteCheck:
        """Begin a check, or return one of the same site that runs. Raises Refused."""
        await self._book.fresh()  # later steps do not wait for files
        for running in self._checks.values():
            if not running.is_done and (running.site, running.element) == (site, request.element):
                return running.view()
        if sum(not one.is_done for one in self._checks.values()) >= RUNNING_MAX:
            raise Refused(
                Code.TOO_MANY, f"{RUNNING_MAX} checks are running: try again when one has ended"
            )
        probes = self._probes(site, request)
        check = _Check(f"c{self._randomness.token(6)}", site, request.element, probes)
        self._checks[check.id] = check
        while len(self._checks) > KEPT_MAX:
            del self._checks[next(name for name, one in self._checks.items() if one.is_done)]
        self._waiting.put_nowait((check, request.timeout_s))
        return check.view()

    def get(self, name: str) -> SiteCheck:
        """Return a check with its progress. Raises Refused."""
        check = self._checks.get(name)
        if check is None:
            why = f"there is no check {name!r}: only the last {KEPT_MAX} since the start are kept"
            raise Refused(Code.NOT_FOUND, why, field="check")
        return check.view()

    def _probes(self, site: str, request: SiteCheckRequest) -> list[Probe]:
        wanted = request.element
        found = [
            one for one in self._book.in_force() if one.site == site and wanted in ("", one.name)
        ]
        if not found:
            where = f"{site}/{wanted}" if wanted else site
            troubles = [one for one in self._book.troubles if one.site == site]
            why = "; ".join(one.why for one in troubles) or "no site's file names it"
            code = Code.ILLEGAL_STATE if troubles else Code.NOT_FOUND
            read = "the files are as last read: after a change, reload the central"
            raise Refused(code, f"{where} cannot be checked: {why} ({read})", field="site")
        return [
            Probe(
                one,
                store=self._store,
                origin=self._origin_at(one),
                has_asked=self._has_asked,
                clock=self._clock,
                randomness=self._randomness,
                timeout_s=request.timeout_s,
                held="disabled" if one.is_disabled else self._held(one.site, one.name),
            )
            for one in found
        ]

    def _origin_at(self, element: WatchedElement) -> PilotDefaults:
        """Return the origin of a probe, for the first community with a share."""
        served = shares(element.site_entry.communities, self._communities)
        return replace(self._origin, community=next(iter(served), self._origin.community))

    async def _all(self, check: _Check, timeout_s: float) -> None:
        places = asyncio.Semaphore(AT_ONCE)

        async def one(probe: Probe) -> None:
            async with places:
                await self._supervised(probe, timeout_s)

        try:
            async with asyncio.TaskGroup() as group:
                for probe in check.probes:
                    group.create_task(one(probe))
        finally:
            check.is_done = True

    async def _supervised(self, probe: Probe, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s + LATE_S):
                await probe.run()
        except Refused as why:  # the store accepts no writes
            probe.broke(str(why))
        except TimeoutError:
            probe.broke("its driver does not keep its own timeout")
        except Exception as why:  # a driver of others may raise anything
            self._log("loop_failed", loop="site check", error=traceback.format_exc())
            probe.broke(f"its driver failed: {why!r}")
