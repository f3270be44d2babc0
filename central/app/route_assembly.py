"""Joins the routes of all subjects with the services of a process."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Final

import msgspec

from ..accounts import routes as accounts
from ..accounts.disk_room import DiskRoom
from ..accounts.quotas import Quotas
from ..accounts.series import SeriesService
from ..catalogue import routes as catalogue
from ..catalogue.service import CatalogueService
from ..catalogue.storage_service import StorageService
from ..dispatch import routes as dispatch
from ..dispatch.control import JobControl
from ..dispatch.explainer import Explainer
from ..dispatch.limits import LimitService
from ..dispatch.service import Dispatch
from ..dispatch.submissions.submissions import Submissions
from ..factory import routes as factory
from ..factory.view import ElementsView
from ..failover import routes as failover
from ..failover.service import ReportService
from ..http.app import HttpApp, Recognise, loop_time, nobody_new
from ..http.client_addresses import ClientAddresses
from ..http.forwarding import LeaderLink
from ..http.openapi import document
from ..http.route import BoundRoute
from ..identity import routes as identity
from ..identity.bans import routes as bans
from ..identity.bans.ban_list import is_of
from ..identity.bans.service import BanService
from ..identity.callers import User
from ..identity.element_issuer import IssuerDocuments
from ..identity.gate import gate
from ..identity.logins import routes as logins
from ..identity.logins.browser_sessions import BrowserSessions
from ..identity.logins.service import LoginService
from ..identity.payload_tokens import routes as payload_tokens
from ..identity.payload_tokens.service import PayloadTokens
from ..identity.policy import names_of
from ..identity.sessions import routes as sessions
from ..identity.tokens import TokenIssuer
from ..jobs import routes as jobs
from ..jobs.blobs import routes as blobs
from ..jobs.blobs.sandbox import Sandbox
from ..jobs.feed import Feed
from ..jobs.output.curve_view import JobInspector
from ..jobs.output.followed_output import FollowService
from ..jobs.queries import Queries
from ..jobs.storage_credentials import StorageCredentials
from ..notifications import routes as notifications
from ..notifications.service import NotificationService
from ..observe.events import Log, no_log
from ..pilots import file_routes, routes as pilots
from ..pilots.logs import PilotLogService
from ..pilots.service import PilotService
from ..productions import routes as productions
from ..productions.service import ProductionService
from ..rucio import routes as rucio
from ..rucio.service import RucioService
from ..sites import routes as sites
from ..sites.service import SiteService
from ..transfers import routes as transfers
from ..transfers.service import RuleService
from ..transfers.sweep_service import SweepService
from ..transformations import routes as transformations
from ..transformations.service import TransformationService
from . import routes as own

ADDRESSES: Final = "addresses of clients"  # purpose of the key of all processes of one central


@dataclass(frozen=True, kw_only=True)
class ApiServices:
    """The services of each process that answers users."""

    submissions: Submissions
    queries: Queries
    data: CatalogueService
    sandbox: Sandbox
    series: SeriesService
    quotas: Quotas
    room: DiskRoom
    tokens: TokenIssuer
    browsers: BrowserSessions
    bans: BanService
    health: own.HealthReader
    metrics: own.Metrics


@dataclass(frozen=True, kw_only=True)
class Services(ApiServices):
    """All services, as the leader has them."""

    logins: LoginService
    payload_tokens: PayloadTokens
    storage_credentials: StorageCredentials
    looking: JobInspector
    control: JobControl
    pilots: PilotService
    sites: SiteService
    limits: LimitService
    storages: StorageService
    rules: RuleService
    sweeps: SweepService
    elements: ElementsView
    pilot_logs: PilotLogService
    dispatch: Dispatch
    logs: FollowService
    feed: Feed
    explainer: Explainer
    transformations: TransformationService
    productions: ProductionService
    reports: ReportService
    notifications: NotificationService
    rucio: RucioService


async def _nothing() -> None:
    """Return None: the process has no such file."""


async def _nothing_published() -> IssuerDocuments:
    """Return no documents: the process issues no tokens for elements."""
    return IssuerDocuments()


@dataclass(frozen=True, kw_only=True)
class Handouts:
    """Files that a process hands out besides the answers of its services."""

    version: str = "0"
    pilot_files: file_routes.Files = _nothing
    client_wheel: own.Wheel = _nothing
    element_issuer: identity.Issuer = _nothing_published


def face(
    services: ApiServices,
    *,
    handouts: Handouts = Handouts(),
    leader_link: LeaderLink | None = None,
    recognise: Recognise = nobody_new,
    spool_dir: Path | None = None,
    life: str = "r",
    log: Log = no_log,
    monotonic: Callable[[], float] = loop_time,
) -> HttpApp:
    """Return the front, which answers requests with these services.

    If `services` are not all services, `elsewhere` answers the routes that need the leader. The
    other arguments are those of `HttpApp`.
    """

    @cache  # made at the first request, so that the start is quick
    def described() -> bytes:
        return msgspec.json.encode(document(ROUTES, may=names_of, version=handouts.version))

    leads = services if isinstance(services, Services) else None
    front = HttpApp(
        _offered(services, leads, handouts, described),
        gate(services.tokens, services.browsers),
        check_room=services.room.check_new,
        leader_link=leader_link,
        recognise=recognise,
        addresses=ClientAddresses(services.tokens.cipher_key(ADDRESSES)),
        spool_dir=spool_dir,
        life=life,
        log=log,
        monotonic=monotonic,
    )
    services.tokens.bans.subscribe(
        lambda person: front.face.open_requests.end(partial(is_of, person))
    )
    services.tokens.subscribe_revoked(
        lambda names: front.face.open_requests.end(
            lambda caller: isinstance(caller, User) and caller.revocable in names
        )
    )
    return front


def _offered(
    mine: ApiServices | None,
    leads: Services | None,
    handouts: Handouts,
    described: own.Described | None = None,
) -> list[BoundRoute]:
    """Return all routes, each with its service if the process has it."""
    intake = dispatch.SubmissionServices(mine.submissions, mine.room) if mine else None
    outputs = jobs.OutputServices(mine.queries, mine.sandbox) if mine else None
    return [
        *dispatch.ROUTES.offered(leads.dispatch if leads else None),
        *pilots.ROUTES.offered(leads.pilots if leads else None),
        *pilots.LOG_ROUTES.offered(leads.pilot_logs if leads else None),
        *jobs.CHUNK_ROUTES.offered(leads.logs if leads else None),
        *blobs.ROUTES.offered(mine.sandbox if mine else None),
        *dispatch.INTAKE_ROUTES.offered(intake),
        *jobs.ROUTES.offered(mine.queries if mine else None),
        *jobs.OUTPUT_ROUTES.offered(outputs),
        *jobs.LOOK_ROUTES.offered(leads.looking if leads else None),
        *dispatch.ACTION_ROUTES.offered(leads.control if leads else None),
        *dispatch.EXPLAIN_ROUTES.offered(leads.explainer if leads else None),
        *jobs.EVENT_ROUTES.offered(leads.feed if leads else None),
        *accounts.SERIES_ROUTES.offered(mine.series if mine else None),
        *accounts.QUOTA_ROUTES.offered(mine.quotas if mine else None),
        *failover.ROUTES.offered(leads.reports if leads else None),
        *notifications.ROUTES.offered(leads.notifications if leads else None),
        *sites.ROUTES.offered(leads.sites if leads else None),
        *factory.ROUTES.offered(leads.elements if leads else None),
        *dispatch.LIMIT_ROUTES.offered(leads.limits if leads else None),
        *catalogue.STORAGE_ROUTES.offered(leads.storages if leads else None),
        *rucio.ROUTES.offered(leads.rucio if leads else None),
        *transformations.ROUTES.offered(leads.transformations if leads else None),
        *productions.ROUTES.offered(leads.productions if leads else None),
        *catalogue.ROUTES.offered(mine.data if mine else None),
        *transfers.ROUTES.offered(leads.rules if leads else None),
        *transfers.SWEEP_ROUTES.offered(leads.sweeps if leads else None),
        *identity.ROUTES.offered(mine.tokens if mine else None),
        *logins.ROUTES.offered(leads.logins if leads else None),
        *sessions.ROUTES.offered(leads.logins.sessions if leads else None),
        *bans.ROUTES.offered(mine.bans if mine else None),
        *payload_tokens.ROUTES.offered(leads.payload_tokens if leads else None),
        *jobs.STORAGE_TOKEN_ROUTES.offered(leads.storage_credentials if leads else None),
        *identity.ISSUER_ROUTES.offered(handouts.element_issuer),
        *own.METRICS_ROUTES.offered(mine.metrics if mine else None),
        *own.HEALTH_ROUTES.offered(mine.health if mine else None),
        *own.DESCRIPTION_ROUTES.offered(described),
        *file_routes.ROUTES.offered(handouts.pilot_files),
        *own.CLIENT_ROUTES.offered(handouts.client_wheel),
    ]


ROUTES: Final = tuple(one.route for one in _offered(None, None, Handouts()))
