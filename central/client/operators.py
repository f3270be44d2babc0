"""The methods of `AsyncClient` for pilots, sites and their elements."""

import uuid
from collections.abc import AsyncIterator, Iterable
from urllib.parse import quote

from pilotage.proto.api.bans import BanMade, BanRequest, Bans, BanView
from pilotage.proto.api.explanations import OfferExplanation
from pilotage.proto.api.limits import LimitsView
from pilotage.proto.api.pilots import (
    PilotEnd,
    PilotEnded,
    PilotLogFilter,
    PilotLogLine,
    PilotPage,
    PilotView,
    SecretRequest,
    Secrets,
)
from pilotage.proto.api.rucio import RucioList, RucioView
from pilotage.proto.api.sites import (
    Elements,
    SiteAction,
    SiteActionName,
    SiteCheck,
    SiteCheckRequest,
    SiteDetail,
    Sites,
)
from pilotage.proto.api.storages import StorageCheck, StorageList, StorageView
from pilotage.proto.pilot_states import PilotState
from pilotage.proto.problems import Code

from .arguments import word_of
from .errors import NotFound
from .pace import Pace
from .transport import Transport
from .waiting.pilot_log import lines_of

_CHECK_EVERY_S = 0.5


class OperatorCalls:
    """The methods of the client for operators. Other users may call some of them too."""

    _transport: Transport
    _pace: Pace

    async def pilots(
        self, *, states: Iterable[PilotState] = (), site: str = ""
    ) -> AsyncIterator[PilotView]:
        """Yield the pilots in order of their name."""
        query = [("state", word_of(PilotState, state, "states").value) for state in states]
        if site:
            query.append(("site", site))
        after: str | None = ""
        while after is not None:
            page = await self._transport.ask(
                PilotPage,
                "GET",
                "/v1/pilots",
                query=[*query, ("after", after)] if after else query,
            )
            for view in page.pilots:
                yield view
            after = page.after

    async def pilot(self, id: str) -> PilotView:
        """Return one pilot."""
        return await self._transport.ask(PilotView, "GET", f"/v1/pilots/{quote(id, safe='')}")

    async def explain_pilot(self, id: str) -> OfferExplanation:
        """Return why a pilot gets no job: the waiting jobs that each clause excludes."""
        path = f"/v1/pilots/{quote(id, safe='')}/explain"
        return await self._transport.ask(OfferExplanation, "GET", path)

    async def pilot_log(
        self, filter: PilotLogFilter | None = None, *, last: int | None = None, follow: bool = False
    ) -> AsyncIterator[PilotLogLine]:
        """Yield log lines of pilots: the `last` lines, or all lines since `since` of the filter.

        With `follow` it also yields new lines, without end. Users who are not operators must name a
        job.
        """
        wanted = filter or PilotLogFilter()
        async for line in lines_of(self._transport, wanted, last, self._pace, follow=follow):
            yield line

    async def drain(self, pilot: str) -> None:
        """Let a pilot finish its jobs, take no more, and end."""
        path = f"/v1/pilots/{quote(pilot, safe='')}/drain"
        await self._transport.ask(object, "POST", path)

    async def kill_pilot(self, pilot: str, *, reason: str = "") -> PilotEnded:
        """End a pilot now. Its jobs are requeued."""
        path = f"/v1/pilots/{quote(pilot, safe='')}/kill"
        return await self._transport.ask(PilotEnded, "POST", path, body=PilotEnd(reason=reason))

    async def secrets(self, request: SecretRequest) -> Secrets:
        """Make one-use secrets with which pilots register."""
        return await self._transport.ask(
            Secrets, "POST", "/v1/pilots/secrets", body=request, again=False
        )

    async def sites(self) -> Sites:
        """Return the sites with their pilots, cores and jobs."""
        return await self._transport.ask(Sites, "GET", "/v1/sites")

    async def site(self, name: str) -> SiteDetail:
        """Return everything about one site."""
        return await self._transport.ask(SiteDetail, "GET", f"/v1/sites/{quote(name, safe='')}")

    async def limits(self) -> LimitsView:
        """Return the shares and limits in force."""
        return await self._transport.ask(LimitsView, "GET", "/v1/limits")

    async def read_limits(self) -> LimitsView:
        """Reload shares and limits from the settings file of the central, and return them.

        Raises Invalid if the file is wrong; the old values then stay in force.
        """
        return await self._transport.ask(LimitsView, "POST", "/v1/limits/read")

    async def storages(self) -> StorageList:
        """Return all storages."""
        return await self._transport.ask(StorageList, "GET", "/v1/storages")

    async def check_storage(self, storage: str) -> StorageCheck:
        """Try a storage with tokens as jobs get them. This may take minutes."""
        path = f"/v1/storages/{quote(storage, safe='')}/check"
        return await self._transport.ask(StorageCheck, "POST", path)

    async def storage(self, name: str) -> StorageView:
        """Return one storage."""
        path = f"/v1/storages/{quote(name, safe='')}"
        return await self._transport.ask(StorageView, "GET", path)

    async def rucio_servers(self) -> RucioList:
        """Return the Rucio servers of the community, and how far they are mirrored."""
        return await self._transport.ask(RucioList, "GET", "/v1/rucio")

    async def rucio_server(self, name: str) -> RucioView:
        """Return one Rucio server."""
        path = f"/v1/rucio/{quote(name, safe='')}"
        return await self._transport.ask(RucioView, "GET", path)

    async def compare_rucio(self, name: str) -> RucioView:
        """Compare all files of a Rucio server with the catalogue soon. Return its state now."""
        path = f"/v1/rucio/{quote(name, safe='')}/compare"
        return await self._transport.ask(RucioView, "POST", path)

    async def act_on_site(
        self,
        name: str,
        action: SiteActionName,
        *,
        element: str = "",
        host: str = "",
        reason: str = "",
        key: str | None = None,
    ) -> SiteDetail:
        """Ban, drain or enable a site, or one of its elements; return its new state.

        With `host`, enable lifts only the suspension of that host. The same `key` again changes
        nothing, at any time; without a key each call has its own, which also covers its retries.
        """
        action = word_of(SiteActionName, action, "action")
        key = key or uuid.uuid4().hex
        body = SiteAction(action=action, element=element, host=host, reason=reason, key=key)
        path = f"/v1/sites/{quote(name, safe='')}/actions"
        return await self._transport.ask(SiteDetail, "POST", path, body=body)

    async def check_site(
        self, name: str, *, element: str = "", timeout_s: float = 600.0
    ) -> AsyncIterator[SiteCheck]:
        """Submit a probe pilot to each element of a site, and yield the progress of the check.

        The last item is `done`. It comes at the latest when `timeout_s` is over and the remaining
        pilots are cancelled.
        """
        body = SiteCheckRequest(element=element, timeout_s=timeout_s)
        path = f"/v1/sites/{quote(name, safe='')}/check"
        found = await self._transport.ask(SiteCheck, "POST", path, body=body)
        yield found
        while not found.done:
            await self._pace.sleep(_CHECK_EVERY_S)
            path = f"/v1/checks/{quote(found.check, safe='')}"
            found = await self._transport.ask(SiteCheck, "GET", path)
            yield found

    async def ban(self, person: str, *, issuer: str = "", reason: str = "") -> BanMade:
        """Ban a person from the whole central, and return the ban in force.

        The central refuses the person's requests at once, holds waiting jobs and kills running
        ones. `person` is the name that the central shows, or with `issuer` a subject of it.
        """
        body = BanRequest(person=person, issuer=issuer, reason=reason)
        return await self._transport.ask(BanMade, "POST", "/v1/bans", body=body)

    async def unban(self, person: str, *, issuer: str = "") -> BanView:
        """Lift the ban of a person. The central releases the jobs that the ban held.

        Killed jobs stay Killed. Raises NotFound if the person is not banned.
        """
        found = [one async for one in self.bans(person=person, issuer=issuer)]
        if len(found) != 1:
            several = f"{person!r} names {len(found)} bans: give the issuer"
            why = several if found else f"{person!r} is not banned"
            raise NotFound(Code.NOT_FOUND.value, why, "person", 404)
        return await self._transport.ask(BanView, "DELETE", f"/v1/bans/{found[0].ban}")

    async def bans(
        self, *, person: str = "", issuer: str = "", lifted: bool = False
    ) -> AsyncIterator[BanView]:
        """Yield the bans of persons. With `lifted`, include bans that were lifted lately."""
        given = {"person": person, "issuer": issuer, "lifted": "true" if lifted else ""}
        query = [(name, value) for name, value in given.items() if value]
        after: int | None = 0
        while after is not None:
            page = await self._transport.ask(
                Bans, "GET", "/v1/bans", query=[*query, ("after", str(after))]
            )
            for view in page.bans:
                yield view
            after = page.after

    async def elements(self) -> Elements:
        """Return the compute elements to which the central submits, with their problems."""
        return await self._transport.ask(Elements, "GET", "/v1/elements")
