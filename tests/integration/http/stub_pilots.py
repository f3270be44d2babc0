"""Stand for the services of pilots, sites and storages: they note what they are asked."""

from pilotage.central.catalogue.storage_service import StorageService
from pilotage.central.dispatch.limits import LimitService
from pilotage.central.errors import Refused
from pilotage.central.factory.view import ElementsView
from pilotage.central.identity.callers import Caller, PilotCaller, User
from pilotage.central.pilots.logs import PilotLogService
from pilotage.central.pilots.service import PilotService
from pilotage.central.rucio.outbox_record import EntryState
from pilotage.central.rucio.service import RucioService
from pilotage.central.sites.service import SiteService
from pilotage.proto import messages
from pilotage.proto.api.limits import LimitsView
from pilotage.proto.api.pilots import (
    PilotEnd,
    PilotEnded,
    PilotLogFilter,
    PilotLogPage,
    PilotPage,
    PilotView,
    SecretRequest,
    Secrets,
)
from pilotage.proto.api.rucio import OutboxPage, RucioList, RucioView
from pilotage.proto.api.sites import (
    Elements,
    SiteAction,
    SiteCheck,
    SiteCheckRequest,
    SiteDetail,
    Sites,
    SiteView,
)
from pilotage.proto.api.storages import StorageCheck, StorageList, StorageView
from pilotage.proto.pilot_states import PilotState
from pilotage.proto.problems import Code

from .stub_calls import Hearing, override

PILOT = PilotView(
    id="p1",
    community="ctao",
    site="PIC",
    element="local",
    host="n1",
    state=PilotState.RUNNING,
    session=1,
)


class StubPilots(Hearing, PilotService):
    """Knows one pilot."""

    @override
    async def register(self, m: messages.Register) -> messages.Registered:
        if m.secret == "wrong":
            raise Refused(Code.BAD_TOKEN, "this bootstrap secret is unknown, expired or used")
        return self._registered(1)

    @override
    async def hello(self, m: messages.Hello) -> messages.Registered:
        return self._registered(2)

    @override
    async def token(self, m: messages.TokenRequest) -> messages.TokenReply:
        return messages.TokenReply(token="t", expires_in_s=60.0)

    @override
    async def make_secrets(self, caller: Caller, r: SecretRequest) -> Secrets:
        self.hear("make_secrets", caller, r)
        return Secrets(secrets=[])

    @override
    async def list(
        self, caller: Caller, *, states: tuple[PilotState, ...], site: str, after: str, limit: int
    ) -> PilotPage:
        self.hear("pilots", caller, (states, site, after, limit))
        return PilotPage(pilots=[PILOT])

    @override
    async def get(self, caller: Caller, pilot: str) -> PilotView:
        self.hear("pilot", caller, pilot)
        return PILOT

    @override
    async def drain(self, caller: Caller, pilot: str) -> None:
        self.hear("drain", caller, pilot)

    @override
    async def kill(self, caller: Caller, pilot: str, order: PilotEnd) -> PilotEnded:
        self.hear("kill_pilot", caller, (pilot, order))
        return PilotEnded(pilot=pilot, state=PilotState.DRAINING, told=True)

    def _registered(self, session: int) -> messages.Registered:
        return messages.Registered(
            pilot="p1",
            community="ctao",
            site="PIC",
            element="local",
            gen="g",
            session=session,
            token="t",
            expires_in_s=60.0,
            renewal_secret="r",
        )


class StubPilotLogs(Hearing, PilotLogService):
    """Has no lines."""

    @override
    async def keep(self, caller: PilotCaller, m: messages.PilotLog) -> messages.PilotLogKept:
        self.hear("keep_log", caller, m)
        return messages.PilotLogKept(n=1)

    @override
    async def read(
        self, caller: User, wanted: PilotLogFilter, after: int | None, limit: int, /
    ) -> PilotLogPage:
        self.hear("read_log", caller, (wanted, after, limit))
        return PilotLogPage(lines=[], after=0, more=False)


class StubSites(Hearing, SiteService):
    """Knows every site."""

    @override
    async def all(self, caller: Caller) -> Sites:
        self.hear("sites", caller, None)
        return Sites(sites=[])

    @override
    async def show(self, caller: Caller, site: str) -> SiteDetail:
        self.hear("site", caller, site)
        return _site(site)

    @override
    async def act(self, caller: Caller, site: str, action: SiteAction) -> SiteDetail:
        self.hear("site_action", caller, (site, action))
        return _site(site)


def _site(name: str) -> SiteDetail:
    view = SiteView(site=name, pilots=0, cores=0, cores_free=0, running=0, done=0, failed=0)
    return SiteDetail(view=view)


class StubElements(Hearing, ElementsView):
    """Has no elements."""

    @override
    async def elements(self, caller: User) -> Elements:
        self.hear("elements", caller, None)
        return Elements(elements=[])

    @override
    async def check(self, caller: User, site: str, request: SiteCheckRequest) -> SiteCheck:
        self.hear("check", caller, (site, request))
        return SiteCheck(check="c1", site=site, done=False, ok=False)

    @override
    async def checked(self, caller: User, name: str) -> SiteCheck:
        self.hear("checked", caller, name)
        return SiteCheck(check=name, site="PIC", done=True, ok=True)


class StubLimits(Hearing, LimitService):
    """Has no limits."""

    @override
    async def show(self, caller: User) -> LimitsView:
        self.hear("limits", caller, None)
        return LimitsView(shares={}, limits=())

    @override
    async def read(self, caller: User) -> LimitsView:
        self.hear("read_limits", caller, None)
        return LimitsView(shares={}, limits=())


class StubStorages(Hearing, StorageService):
    """Knows every storage."""

    @override
    async def all(self, caller: object) -> StorageList:
        self.hear("storages", caller, None)
        return StorageList(storages=[])

    @override
    async def show(self, caller: object, name: str) -> StorageView:
        self.hear("storage", caller, name)
        return StorageView(name=name)

    @override
    async def check(self, caller: User, name: str) -> StorageCheck:
        self.hear("storage check", caller, name)
        return StorageCheck(storage=name, ok=True, steps=[])


class StubRucio(Hearing, RucioService):
    """Knows every Rucio server."""

    @override
    async def all(self, caller: User, /) -> RucioList:
        self.hear("rucio_servers", caller, None)
        return RucioList(servers=[])

    @override
    async def show(self, caller: User, name: str, /) -> RucioView:
        self.hear("rucio_server", caller, name)
        return RucioView(name=name)

    @override
    async def compare(self, caller: User, name: str, /) -> RucioView:
        self.hear("compare_rucio", caller, name)
        return RucioView(name=name)

    @override
    async def outbox(
        self, caller: User, /, *, state: EntryState, after: int, limit: int
    ) -> OutboxPage:
        self.hear("outbox", caller, (state, after, limit))
        return OutboxPage(entries=[])
