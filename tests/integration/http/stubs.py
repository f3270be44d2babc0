"""Services that answer something fixed and remember what they were asked.

The stub of a service inherits from it, so that the type checker refuses a stub whose methods differ
from those of the service. `requests.py` has a good request for each route.
"""

from dataclasses import dataclass

from pilotage.central.accounts.disk_room import DiskRoom
from pilotage.central.app.route_assembly import Services
from pilotage.central.identity import derived_secrets, keys
from pilotage.central.identity.callers import User
from pilotage.central.identity.logins.browser_sessions import BrowserSessions
from pilotage.central.identity.providers.provider_files import (
    BearerRules,
    GroupClaims,
    MapRow,
    ProviderEntry,
)
from pilotage.central.identity.tokens import TokenIssuer
from pilotage.central.observe.events import no_log
from pilotage.proto.claims import Role
from tests.fake_central import FakeClock, FakeDisk, FakeRandomness
from tests.memory_store import MemoryStore
from tests.unit.identity.fake_provider import Outside
from tests.unit.identity.token_store import DATA

from .stub_accounts import (
    StubHealth,
    StubMetrics,
    StubNotifications,
    StubQuotas,
    StubReports,
    StubSeries,
)
from .stub_bans import StubBans
from .stub_calls import Calls
from .stub_data import StubData, StubRules, StubSweeps
from .stub_jobs import (
    StubControl,
    StubDispatch,
    StubExplainer,
    StubFeed,
    StubFollow,
    StubInspector,
    StubQueries,
    StubSandbox,
    StubSubmissions,
)
from .stub_logins import StubLogins, StubPayloadTokens, StubStorageCredentials
from .stub_pilots import (
    StubElements,
    StubLimits,
    StubPilotLogs,
    StubPilots,
    StubRucio,
    StubSites,
    StubStorages,
)
from .stub_productions import StubProductions
from .stub_transformations import StubTransformations

ISSUER = "https://central.test"
AUDIENCE = "pilotage"
PROVIDER = ProviderEntry(
    issuer="https://iam.test/",
    bearer=BearerRules(audiences=(ISSUER,)),
    groups=GroupClaims(claims=("wlcg.groups",)),
    map=(MapRow(match="/ctao/admins", community="ctao", role=Role.ADMIN),),
)


class StubSpace:
    """A disk with as much room as the test says, of 1 GB; None: nobody can tell."""

    free: int | None = None

    async def read(self) -> tuple[int, int] | None:
        return None if self.free is None else (self.free, 1_000_000_000)


@dataclass
class World:
    """A central's face on stubs, with real tokens on a fake clock."""

    calls: Calls
    tokens: TokenIssuer
    clock: FakeClock
    services: Services
    disk: FakeDisk
    sandbox: StubSandbox
    space: StubSpace
    store: MemoryStore
    outside: Outside

    def user(self, token: str) -> User:
        caller = self.tokens.caller(token)
        assert isinstance(caller, User)
        return caller

    async def admin_token(self) -> str:
        path = DATA / "admin.token"
        await self.tokens.write_admin_token(path, disk=self.disk)
        return self.disk.files[path].decode().strip()


def build() -> World:
    clock, disk, randomness = FakeClock(), FakeDisk(), FakeRandomness(1)
    store, outside = MemoryStore(clock_wall=clock.wall), Outside(PROVIDER)
    tokens = TokenIssuer(
        signing=keys.load(DATA, disk=disk, clock=clock, randomness=randomness),
        derived=derived_secrets.load(DATA, disk=disk, randomness=randomness),
        store=store,
        clock=clock,
        randomness=randomness,
        issuer=ISSUER,
        audience=AUDIENCE,
        outside=outside.tokens,
    )
    calls, space = Calls(), StubSpace()
    sandbox = StubSandbox(calls)
    services = Services(
        logins=StubLogins(calls),
        payload_tokens=StubPayloadTokens(calls),
        storage_credentials=StubStorageCredentials(calls),
        browsers=BrowserSessions(
            store,
            clock,
            url=lambda: ISSUER,
            is_ended=tokens.is_session_ended,
            bans=tokens.bans,
        ),
        submissions=StubSubmissions(calls),
        queries=StubQueries(calls),
        looking=StubInspector(calls),
        control=StubControl(calls),
        pilots=StubPilots(calls),
        sites=StubSites(calls),
        limits=StubLimits(calls),
        storages=StubStorages(calls),
        rucio=StubRucio(calls),
        data=StubData(calls),
        rules=StubRules(calls),
        sweeps=StubSweeps(calls),
        elements=StubElements(calls),
        pilot_logs=StubPilotLogs(calls),
        dispatch=StubDispatch(calls),
        sandbox=sandbox,
        logs=StubFollow(calls),
        feed=StubFeed(calls),
        explainer=StubExplainer(calls),
        series=StubSeries(calls),
        quotas=StubQuotas(calls),
        room=DiskRoom(space, clock, no_log, reserve_mb=100.0),
        tokens=tokens,
        bans=StubBans(calls),
        transformations=StubTransformations(calls),
        productions=StubProductions(calls),
        reports=StubReports(calls),
        notifications=StubNotifications(calls),
        health=StubHealth(calls),
        metrics=StubMetrics(calls),
    )
    return World(calls, tokens, clock, services, disk, sandbox, space, store, outside)
