"""A process that takes jobs and answers users beside the process that keeps the queue.

It reads the keys of the data directory and shares its blobs, but writes no other file there, so it
takes no lock. Any number of such processes can run on one folder, on one machine or over a shared
file system.
"""

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from pilotage.proto.trust import trusting

from ..app.api import ApiCentral, build_api
from ..http.forwarding import LeaderLink
from ..http.server import HttpServer
from ..identity.tokens import ADMIN_FILE
from ..jobs import record as job_records
from ..observe.events import Log
from ..ports import Clock
from ..settings import BadSetting, HttpSettings, ProcessRole, Settings
from ..store.engine import Store
from ..store.errors import NotMadeYet, StoreError
from ..store.leaders import SHARD
from .api_address import is_url, readable_by_others, url_of
from .clocks import SystemClock
from .distribution.pilot_bundle import NoBundle
from .files import RealDisk
from .high_water import HighWater, ids_in
from .process import spare_the_collector
from .process_setup import open_ground, open_server
from .start_failures import not_started
from .store_identity import SHARED
from .store_selection import check_server, leaders_of, open_api_store, where

MADE_S: Final = 60.0  # for another process to make tables and keys
MADE_LOOK_S: Final = 0.5
DRAIN_S: Final = 10.0
PLAIN: Final = "no TLS: tokens can be read on the network"


def check_roles(settings: Settings) -> None:
    """Check that the roles fit together. Raises BadSetting."""
    roles = settings.process.roles
    if settings.process.url and not is_url(settings.process.url, ("https", "http")):
        right = "expected https://host:port or http://host:port"
        raise BadSetting("process.url", f"found {settings.process.url!r}, {right}")
    if ProcessRole.DISPATCH in settings.process.role_set:
        return
    if ProcessRole.AGENTS in settings.process.role_set:
        why = f"{roles}: agents run in the process that leads, so they need dispatch beside them"
        raise BadSetting("process.roles", why)
    if not settings.store.url:
        why = f"{roles}: needs a database that it shares with a dispatch process"
        raise BadSetting("process.roles", f"{why}; set store.url")


@dataclass(frozen=True)
class _Started:
    """The open server and its base. It has not answered yet."""

    store: Store
    central: ApiCentral
    server: HttpServer
    high_water: HighWater


async def serve_api(
    data: Path,
    settings: Settings,
    *,
    log: Log,
    fatal: Callable[[str], None],
    ready: Callable[[str], Awaitable[None]] | None = None,
) -> None:
    """Serve until cancelled. `ready` is called with the URL when requests are answered.

    `fatal` ends the process: unacknowledged data may or may not be stored. Raises StartRefused.
    """
    clock = SystemClock()
    began = clock.monotonic()
    path = where(data, settings.store)
    async with AsyncExitStack() as closing:
        try:
            started = await _started(data, settings, clock, log, fatal, closing)
        except (BadSetting, NoBundle, StoreError, OSError) as why:
            raise not_started(why, path) from why
        central, server = started.central, started.server
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


async def _started(
    data: Path,
    settings: Settings,
    clock: Clock,
    log: Log,
    fatal: Callable[[str], None],
    closing: AsyncExitStack,
) -> _Started:
    """Open the store, build the services, bind the port. `closing` closes them again.

    Raises BadSetting, NoBundle, StoreError, OSError.
    """
    leaders = leaders_of(settings.store)
    assert leaders is not None, "a process without the queue has a database"
    await asyncio.to_thread(check_server, settings.store, clock.wall())
    high_water = HighWater(data, RealDisk())
    await high_water.check(partial(ids_in, settings.store.url))  # do not wait for an empty one
    opened = partial(open_api_store, settings.store, fatal=fatal)
    store = await _once_made(data, opened, clock)
    closing.push_async_callback(store.close)
    closing.push_async_callback(leaders.close)

    async def leader() -> str | None:
        found = await leaders.lead(SHARD)
        return found.url if found is not None else None

    await high_water.check(partial(store.read, job_records.ids_given))
    await high_water.begin(store, leads=False)
    setup = await open_ground(data, settings, store, clock=clock, log=log, leads=False)
    central = build_api(setup.world, setup.tokens, settings, leader)
    leader_link = LeaderLink(central.leader.url, log, verify=trusted(settings.http))
    closing.push_async_callback(leader_link.close)
    recognise = central.owners.recognise
    server, _ = open_server(setup, central.services, leader_link=leader_link, recognise=recognise)
    await central.begin()
    return _Started(store, central, server, high_water)


async def _once_made(data: Path, opened: Callable[[], Awaitable[Store]], clock: Clock) -> Store:
    """Return the store when the process that keeps the queue has made it and its keys."""
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


def trusted(settings: HttpSettings) -> ssl.SSLContext:
    """Return the TLS authorities for the leader's certificate.

    These are the system's, our own certificate (which may be self-signed), and the authorities for
    clients.
    """
    context = trusting()
    for file in (settings.tls_certificate, os.environ.get("PILOTAGE_CA_FILE")):
        if file:
            context.load_verify_locations(file)
    return context
