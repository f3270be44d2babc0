"""A process that serves people and takes jobs in, beside the one that keeps the queue.

It shares the keys and the files of the data directory and writes no other there, so it takes no
lock: any number may run on one folder, on one machine or on a file system that several have.
"""

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from pilotage import __version__
from pilotage.proto.trust import trusting

from ..api_app import CentralBeside, build_beside
from ..app.central import World
from ..app.faces import Handouts, face
from ..bus.silent import SilentBus
from ..http.elsewhere import Elsewhere
from ..http.server import HttpServer
from ..identity import signature
from ..identity.element_issuer import ElementIssuer
from ..identity.tokens import ADMIN_FILE, open_tokens
from ..jobs import record as job_records
from ..observe.events import Log
from ..ports import Clock
from ..settings import BadSetting, HttpSettings, ProcessSettings, Settings
from ..store.engine import Store
from ..store.errors import NotMadeYet, StoreError
from ..store.leaders import SHARD
from .belonging import SHARED, check_token
from .bundle import NoBundle, pilot_bundle
from .client_wheel import WheelHandout
from .clocks import SystemClock, SystemRandomness
from .files import RealBlobs, RealDisk, RealSpace
from .handout import Handout
from .high_water import HighWater, ids_in
from .listening import is_url, readable_by_others, refusal, url_of
from .process import spare_the_collector
from .readings import MachineReadings
from .starting import not_started
from .storages import storages_of
from .stores import check_server, leaders_of, open_api_store, where

MADE_S: Final = 60.0  # for the process that makes tables and keys to have done so
MADE_LOOK_S: Final = 0.5
DRAIN_S: Final = 10.0
PLAIN: Final = "no TLS: whoever is on the network can read tokens"


def keeps_queue(settings: ProcessSettings) -> bool:
    """Return whether a process keeps the queue, or waits to, and does what goes with it."""
    return "dispatch" in settings.roles.split(",")


def has_agents(settings: ProcessSettings) -> bool:
    """Return whether a process, while it leads, does what is done once for all by itself."""
    return "agents" in settings.roles.split(",")


def check_roles(settings: Settings) -> None:
    """See that the roles can be meant. Raises BadSetting."""
    roles = settings.process.roles
    if settings.process.url and not is_url(settings.process.url, ("https", "http")):
        right = "expected https://host:port or http://host:port"
        raise BadSetting("process.url", f"{settings.process.url!r} is no URL of it, {right}")
    if keeps_queue(settings.process):
        return
    if "agents" in roles.split(","):
        why = f"{roles}: agents run in the process that leads, so they need dispatch beside them"
        raise BadSetting("process.roles", why)
    if not settings.store.url:
        why = f"{roles}: needs a database that it shares with the process that has dispatch"
        raise BadSetting("process.roles", f"{why}; set store.url")


@dataclass(frozen=True)
class _Started:
    """What listens, and what it stands on. Nobody was answered yet."""

    store: Store
    central: CentralBeside
    server: HttpServer
    elsewhere: Elsewhere
    close: Callable[[], Awaitable[None]]  # what reads who leads
    high_water: HighWater


async def serve_beside(
    data: Path,
    settings: Settings,
    *,
    log: Log,
    fatal: Callable[[str], None],
    ready: Callable[[str], Awaitable[None]] | None = None,
) -> None:
    """Serve until cancelled. `ready` is told the URL once requests are answered.

    `fatal` ends the process: what it has not acknowledged may be stored or not. Raises NotStarted.
    """
    clock = SystemClock()
    began = clock.monotonic()
    path = where(data, settings.store)
    try:
        started = await _started(data, settings, clock, log, fatal)
    except (BadSetting, NoBundle, StoreError, OSError) as why:
        raise not_started(why, path) from why
    central, server = started.central, started.server
    try:
        spare_the_collector()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(central.run())
            tasks.create_task(started.high_water.follow(started.store, clock))
            serving = tasks.create_task(server.run())
            url = url_of(settings.http, server.port)
            if readable_by_others(settings.http):
                log("plain_http", host=settings.http.host, why=PLAIN)
            try:
                log(
                    "beside_started",
                    url=url,
                    leader=central.leader.url() or "none",
                    took_s=round(clock.monotonic() - began, 3),
                )
                if ready is not None:
                    await ready(url)
                await asyncio.Event().wait()
            finally:
                central.health.set_ready(False)
                server.stop()
                await asyncio.wait([serving], timeout=DRAIN_S)
    finally:
        await started.elsewhere.close()
        await started.close()
        await started.store.close()


async def _started(
    data: Path, settings: Settings, clock: Clock, log: Log, fatal: Callable[[str], None]
) -> _Started:
    """Open the store, build the services, take the port. Raises what `serve_beside` names."""
    leaders = leaders_of(settings.store)
    assert leaders is not None, "a process without the queue has a database"
    await asyncio.to_thread(check_server, settings.store, clock.wall())
    high_water = HighWater(data, RealDisk())
    await high_water.check(partial(ids_in, settings.store.url))  # an empty one is not waited for
    opened = partial(open_api_store, settings.store, fatal=fatal)
    store = await _once_made(data, opened, clock)

    async def leader() -> str | None:
        found = await leaders.lead(SHARD)
        return found.url if found is not None else None

    try:
        await high_water.check(partial(store.read, job_records.ids_given))
        await high_water.begin(store, leads=False)
        central, server, elsewhere = await _open(data, settings, store, leader, clock, log)
        await central.begin()
    except BaseException:
        await leaders.close()
        await store.close()
        raise
    return _Started(store, central, server, elsewhere, leaders.close, high_water)


async def _once_made(data: Path, opened: Callable[[], Awaitable[Store]], clock: Clock) -> Store:
    """Return the store once the process that keeps the queue has made it, and its keys."""
    until = clock.monotonic() + MADE_S
    while True:
        late = clock.monotonic() >= until
        try:
            if (data / ADMIN_FILE).exists():
                return await opened()
        except NotMadeYet:
            if late:
                raise
        if late:
            raise StoreError(f"--data {data} has no {ADMIN_FILE} after {MADE_S:.0f} s: {SHARED}")
        await clock.sleep(MADE_LOOK_S)


async def _open(
    data: Path,
    settings: Settings,
    store: Store,
    leader: Callable[[], Awaitable[str | None]],
    clock: Clock,
    log: Log,
) -> tuple[CentralBeside, HttpServer, Elsewhere]:
    randomness, bundle, disk = SystemRandomness(), pilot_bundle(), RealDisk()
    tokens = await open_tokens(
        data,
        store=store,
        disk=disk,
        clock=clock,
        randomness=randomness,
        issuer=settings.token.issuer,
        audience=settings.token.audience,
        pilot_valid_s=settings.token.pilot_s,
        writes=False,
    )
    await check_token(data, tokens, store, disk=disk)
    storages = storages_of(settings.data.storages, data, log)
    await asyncio.to_thread(storages.look)
    world = World(
        store=store,
        blobs=RealBlobs(data / "blobs"),
        bus=SilentBus(),
        clock=clock,
        randomness=randomness,
        log=log,
        readings=MachineReadings(data, settings.http.tls_certificate),
        storages=storages,
        space=RealSpace(data),
    )
    central = build_beside(world, tokens, settings, leader)
    elsewhere = Elsewhere(central.leader.url, log, verify=trusted(settings.http))
    handout = Handout(
        bundle, signature.load(data, disk=disk), lambda: url_of(settings.http, port())
    )
    issuer = ElementIssuer(
        data,
        lambda: url_of(settings.http, port()),
        disk=disk,
        clock=clock,
        randomness=randomness,
    )

    def port() -> int:
        return server.port

    try:
        front = face(
            central.services,
            handouts=Handouts(
                version=__version__,
                pilot_files=partial(asyncio.to_thread, handout.files),
                client_wheel=partial(asyncio.to_thread, WheelHandout(bundle).wheel),
                element_issuer=partial(asyncio.to_thread, issuer.published),
            ),
            spool_dir=data,
            life=f"{int(clock.wall()):x}",
            elsewhere=elsewhere,
            recognise=central.owners.recognise,
            log=log,
        )
        server = HttpServer(
            front,
            host=settings.http.host,
            port=settings.http.port,
            tls_certificate=settings.http.tls_certificate,
            tls_key=settings.http.tls_key,
            connections_max=settings.http.connections_max,
            strangers_max=settings.http.strangers_max,
        )
    except OSError as why:
        await elsewhere.close()
        raise refusal(why, settings.http) from why
    return central, server, elsewhere


def trusted(settings: HttpSettings) -> ssl.SSLContext:
    """Return whom a process believes to be the leader: whom all believe, who has our own
    certificate, which may be of no public authority, and whom clients are told to believe."""
    context = trusting()
    for file in (settings.tls_certificate, os.environ.get("PILOTAGE_CA_FILE")):
        if file:
            context.load_verify_locations(file)
    return context
