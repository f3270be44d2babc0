"""`pilotage serve`: the whole central in one process, on real drivers."""

import asyncio
import os
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import uvloop
from msgspec.structs import replace as replaced

from pilotage.proto.job_states import JobState

from ..app.central import Central, build
from ..dispatch.demand import WaitingJobs
from ..dispatch.limits import Policy
from ..factory.file_reader import ReaderThread
from ..factory.site_files.sites import SiteBook, read_sites
from ..http.app import nobody_new
from ..http.body import SMALL_MAX
from ..http.forwarding import LeaderLink
from ..http.server import HttpServer
from ..http.standby import StandbyServer
from ..identity import keys, record as token_records
from ..identity.errors import BadKeyFile
from ..identity.tokens import ADMIN_FILE
from ..jobs import record as job_records
from ..leadership import ALONE
from ..observe.counting_log import counting
from ..observe.events import JsonLog, Log
from ..observe.library_logs import take_over
from ..ports import Bus, Clock
from ..settings import (
    BadSetting,
    CommunitySettings,
    HttpSettings,
    MatcherSettings,
    ProcessRole,
    Settings,
    load,
)
from ..store.engine import Store
from ..store.errors import StoreError
from ..store.leaders import Leaders
from .api_address import check_tls, check_urls, readable_by_others, refusal, url_of
from .clocks import SystemClock, SystemRandomness
from .datadir import (
    CentralProcess,
    DataDirUnusable,
    DataInUse,
    StoreGone,
    announce,
    check_whole,
    leads_soon,
    locked,
    running_on,
    tighten,
    withdraw,
)
from .distribution.handout import Handout
from .distribution.pilot_bundle import NoBundle
from .files import NO_ROOM, RealDisk
from .high_water import HighWater, ids_in
from .leadership import HeldLead, KnownLeader, kept, wait_for_lead
from .pilot_factory import SITES, keep_pilots
from .process import allow_files, spare_the_collector
from .process_setup import open_ground, open_server
from .serve_api import check_roles, serve_api, trusted
from .service_manager import service_manager
from .start_failures import (
    EXIT_BROKEN,
    EXIT_WRONG,
    LOOK_AGAIN_S,
    StartRefused,
    not_started,
    once_there_is_room,
)
from .store_identity import check_keys
from .store_selection import check_server, check_store, leaders_of, open_store, where
from .unknown_names import strangers

CONFIG_NAME = "pilotage.yaml"
PLAIN = "no TLS: tokens can be read on the network; see http.tls_certificate and http.url"
EXIT_LATE = 75  # exit code: a graceful stop took too long
DRAIN_S = 10.0  # for requests in progress at the stop
JOBS_S = 0.5  # for waiting jobs at the start; the rest is read while pilots are answered
END_S = 30.0  # for a whole graceful stop; then the process ends at once


@dataclass(frozen=True)
class ServeOptions:
    """The place and the settings of a central."""

    data: Path
    config: Path | None = None
    options: Mapping[str, str] | None = None
    listener: socket.socket | None = None  # already bound, of a process that waited to lead


def settings_of(place: ServeOptions) -> Settings:
    """Return the settings. Raises BadSetting."""
    return load(config_of(place), os.environ, place.options)


def config_of(place: ServeOptions) -> Path | None:
    """Return the file of settings: the named one, else that of the data directory, or None."""
    if place.config is not None:
        return place.config
    if "PILOTAGE_CONFIG" in os.environ:
        return Path(os.environ["PILOTAGE_CONFIG"])
    own = place.data / CONFIG_NAME
    return own if os.path.lexists(own) else None  # refuse it later if it is no file


def as_it_runs(place: ServeOptions) -> ServeOptions:
    """Return the place with the settings of the running central, if none were named."""
    running = running_on(place.data)
    if running is None or not running.config or config_of(place) is not None:
        return place
    return replace(place, config=Path(running.config))


def main(place: ServeOptions) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    try:
        settings = settings_of(place)
        check_urls(settings.http, settings.bus)
        check_tls(settings.http)  # before a folder or a key is made
        check_roles(settings)
        allow_files(settings.http.connections_max)
        with locked(place.data, shared=bool(settings.store.url)):
            check_store(place.data, settings.store)
            if not settings.store.url:
                check_whole(place.data, used=place.data / keys.FILE)
            leads = ProcessRole.DISPATCH in settings.process.role_set
            with leads_soon(place.data) if leads else nullcontext():
                return uvloop.run(_serve(place, settings))
    except (BadSetting, DataInUse, DataDirUnusable, StartRefused, StoreGone, OSError) as why:
        print(f"pilotage serve: {why}", file=sys.stderr)
        return _code_of(why)


def _code_of(why: Exception) -> int:
    if isinstance(why, StartRefused):
        return why.code
    # Not the code of a wrong setting: a restart helps once the disk has space.
    return EXIT_BROKEN if getattr(why, "errno", None) in NO_ROOM else EXIT_WRONG


class _Stopped(Exception):
    """A signal asked the central to end."""


async def _serve(place: ServeOptions, settings: Settings) -> int:
    log = counting(JsonLog(debug=settings.log.level == "debug"))
    if was := tighten(place.data):
        log("data_tightened", folder=str(place.data), was=was)
    take_over(log)
    manager = service_manager()
    stop, clock = asyncio.Event(), SystemClock()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    policy = policy_of(place, settings, log)
    loop.add_signal_handler(signal.SIGHUP, policy.ask)  # the factory adds the sites' files to this
    refused: list[BaseException] = []

    async def ready(url: str) -> None:
        manager.ready(url)

    with _bounded_end(log) as end_begins:
        began = clock.monotonic()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(
                    serve(place, settings, log=log, ready=ready, waits=manager.waits, policy=policy)
                )
                tasks.create_task(manager.watchdog())
                tasks.create_task(policy.follow())
                await stop.wait()
                log("central_stopping", why="signal")
                manager.stopping()
                end_begins()
                began = clock.monotonic()
                raise _Stopped
        except* _Stopped:
            log("central_stopped", took_s=round(clock.monotonic() - began, 3))
        except* StartRefused as several:
            refused += _leaves(several)
    if refused:
        raise refused[0]
    return 0


def _leaves(one: BaseException) -> list[BaseException]:
    """Return the exceptions inside a group, at any depth; a plain exception is itself."""
    inside: tuple[BaseException, ...] = getattr(one, "exceptions", ())
    return [leaf for each in inside for leaf in _leaves(each)] if inside else [one]


def policy_of(place: ServeOptions, settings: Settings, log: Log) -> Policy:
    """Return the shares and limits, which the file may change later.

    A file that existed once must exist at each later read.
    """
    file = config_of(place)

    async def read() -> MatcherSettings:
        nonlocal file
        file = file or config_of(place)
        return (await asyncio.to_thread(load, file, os.environ, place.options)).matcher

    return Policy(settings.matcher, read, log)


@contextmanager
def _bounded_end(log: Log) -> Generator[Callable[[], None]]:
    """Yield a function to call when the stop begins: the process then has END_S left.

    A separate thread ends the process, because the event loop may hang. Acknowledged data is on the
    disk.
    """

    def too_late() -> None:
        log("end_late", within_s=END_S)
        os._exit(EXIT_LATE)

    timer = threading.Timer(END_S, too_late)
    timer.daemon = True
    try:
        yield timer.start
    finally:
        timer.cancel()


@dataclass(frozen=True)
class _Started:
    """A central that has recovered, and its base. It has not answered yet."""

    store: Store
    bus: Bus
    central: Central
    server: HttpServer
    handout: Handout
    high_water: HighWater


async def serve(
    place: ServeOptions,
    settings: Settings,
    *,
    log: Log,
    ready: Callable[[str], Awaitable[None]] | None = None,
    waits: Callable[[float], None] = lambda pause_s: None,
    policy: Policy | None = None,
) -> None:
    """Run a central until cancelled. `ready` is called with the URL when requests are answered.

    `policy`: the shares and limits; by default those of the settings. On a database that several
    processes share, it waits until it leads. If the disk is full, it starts as far as it can, and
    refuses data that it cannot store. If it cannot start, it waits for space, and `waits` is called
    before each pause. Raises StartRefused.
    """
    clock, policy = SystemClock(), policy or policy_of(place, settings, log)
    if ProcessRole.DISPATCH not in settings.process.role_set:
        await serve_api(place.data, settings, log=log, fatal=_fatal(log), ready=ready)
        return
    leaders = _leaders(settings)
    if leaders is None:
        await _lead(place, settings, None, policy, clock=clock, log=log, ready=ready, waits=waits)
        return
    seen = KnownLeader()
    leader_link = LeaderLink(
        seen.url,
        log,
        verify=trusted(settings.http),
        passed_bytes_max=settings.sandbox.blob_bytes_max + SMALL_MAX,
    )
    standby = _standby_server(settings.http, seen, leader_link, clock)
    try:
        async with asyncio.TaskGroup() as tasks:
            answering = tasks.create_task(standby.run())
            url = settings.process.url or url_of(settings.http, standby.port)
            held = await _stand_by(
                place, settings, leaders, url, seen, clock=clock, log=log, ready=ready
            )
            # no step in between: the lead is lost if it is not renewed within STAND_S
            async with kept(leaders, held, clock=clock, log=log, lost=_lost(log)):
                answering.cancel()
                await asyncio.wait([answering])
                place = replace(place, listener=standby.listener)
                await _lead(
                    place, settings, held, policy, clock=clock, log=log, ready=ready, waits=waits
                )
    finally:
        standby.listener.close()
        await leader_link.close()
        await leaders.close()


def _leaders(settings: Settings) -> Leaders | None:
    try:
        return leaders_of(settings.store)
    except BadSetting as why:
        raise StartRefused(str(why)) from why


def _standby_server(
    http: HttpSettings, seen: KnownLeader, leader_link: LeaderLink, clock: Clock
) -> StandbyServer:
    try:
        return StandbyServer(
            host=http.host,
            port=http.port,
            tls_certificate=http.tls_certificate,
            tls_key=http.tls_key,
            leader=seen.url,
            leader_link=leader_link,
            clock=clock,
            connections_max=http.connections_max,
            strangers_max=http.strangers_max,
        )
    except OSError as why:
        raise StartRefused(str(refusal(why, http))) from why


async def _stand_by(
    place: ServeOptions,
    settings: Settings,
    leaders: Leaders,
    url: str,
    seen: KnownLeader,
    *,
    clock: Clock,
    log: Log,
    ready: Callable[[str], Awaitable[None]] | None,
) -> HeldLead:
    """Wait until this process has the lead, and return it.

    It waits for a database that answered before. At a first start, the database may be the wrong
    one.
    """
    try:
        await asyncio.to_thread(check_server, settings.store, clock.wall())
        # a process that waits to lead already makes a table
        await HighWater(place.data, RealDisk()).check(partial(ids_in, settings.store.url))
        log("standing_by", url=url)
        if settings.http.url and not settings.process.url:
            log("process_url_empty", url=url)
        if ready is not None:
            await ready(url)
        holder = SystemRandomness().token(16)
        used = await asyncio.to_thread((place.data / ADMIN_FILE).exists)
        return await wait_for_lead(
            leaders, holder, url, seen=seen, patient=used, clock=clock, log=log
        )
    except (StoreError, OSError) as why:
        raise not_started(why, where(place.data, settings.store)) from why


async def _lead(
    place: ServeOptions,
    settings: Settings,
    held: HeldLead | None,
    policy: Policy,
    *,
    clock: Clock,
    log: Log,
    ready: Callable[[str], Awaitable[None]] | None,
    waits: Callable[[float], None],
) -> None:
    """Run a central that leads, until cancelled."""
    began = clock.monotonic()
    if held is not None:  # the file may have changed while this process stood by
        await policy.read_again("take-over")
    settings = replaced(settings, matcher=policy.settings)
    started = await once_there_is_room(
        lambda: _started(place, settings, held, policy, clock, log),
        clock=clock,
        log=log,
        waits=waits,
    )
    central, server = started.central, started.server
    policy.lead(
        central.memory.queue, partial(_unknown_of, settings.community, started.store, central)
    )
    if place.listener is not None:  # close it early, so that no client waits there after the end
        place.listener.close()
    try:
        spare_the_collector()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(central.run())
            tasks.create_task(central.load())
            tasks.create_task(started.high_water.follow(started.store, clock))
            serving = tasks.create_task(server.run())
            url = url_of(settings.http, server.port)
            if readable_by_others(settings.http):
                log("plain_http", host=settings.http.host, why=PLAIN)
            try:
                await policy.look_for_unknown()
                say = partial(_announced, place, settings, url, central)
                if not say():
                    tasks.create_task(_again(say, clock))
                log(
                    "central_started",
                    url=url,
                    bus=started.bus.url or "none",
                    waiting=central.memory.counters.total(JobState.WAITING),
                    attempts=central.health.health().attempts,
                    took_s=round(clock.monotonic() - began, 3),
                )
                if ready is not None:
                    await ready(url)
                if ProcessRole.AGENTS in settings.process.role_set:
                    await _keep_pilots(place, settings, started, policy, url, clock, log)
                else:
                    await asyncio.Event().wait()
            finally:
                await _drain(central, server, serving)
                await started.high_water.bring_up(started.store)
                withdraw(place.data, os.getpid())
    finally:
        await started.store.close()


async def _keep_pilots(
    place: ServeOptions,
    settings: Settings,
    started: _Started,
    policy: Policy,
    url: str,
    clock: Clock,
    log: Log,
) -> None:
    """Keep pilots at the sites. Ends by cancellation."""
    memory = started.central.memory
    pilots = memory.pilots

    def has_asked(pilot: str) -> bool:
        presence = pilots.find(pilot)
        return presence is not None and presence.ask > 0

    await keep_pilots(
        data=place.data,
        settings=settings,
        store=started.store,
        work=WaitingJobs(memory.queue, memory.places, memory.pilots),
        crew=started.central.crew,
        view=started.central.elements,
        url=url,
        pilot_sh=lambda: started.handout.files().script.decode(),
        has_asked=has_asked,
        read_limits=policy.ask,
        clock=clock,
        randomness=SystemRandomness(),
        log=log,
    )


def _announced(place: ServeOptions, settings: Settings, url: str, central: Central) -> bool:
    """Write the address for programs on this machine; return False if the disk is full."""
    config = config_of(place)
    named = str(config.absolute()) if config else ""
    folder = str(sites_of(place, settings).absolute())
    said = CentralProcess(
        url=url,
        pid=os.getpid(),
        config=named,
        sites=folder,
        sweep_after_s=settings.data.sweep_after_s,
    )
    try:
        announce(place.data, said)
    except OSError as why:
        central.probe.refused(str(why))  # until a write succeeds
        return False
    return True


async def _again(say: Callable[[], bool], clock: Clock) -> None:
    """Repeat `say` until it returns true."""
    said = False
    while not said:
        await clock.sleep(LOOK_AGAIN_S)
        said = say()


async def _started(
    place: ServeOptions,
    settings: Settings,
    held: HeldLead | None,
    policy: Policy,
    clock: Clock,
    log: Log,
) -> _Started:
    """Open the store, build the central, fill its memory. Raises StartRefused, StartDiskFull."""
    path = where(place.data, settings.store)
    high_water = HighWater(place.data, RealDisk())
    try:
        if settings.store.url:  # check again: it may have been set back while this process stood by
            await high_water.check(partial(ids_in, settings.store.url))
        store = await open_store(
            place.data,
            settings.store,
            clock_wall=clock.wall,
            fatal=_fatal(log),
            lead=held.lead if held is not None else None,
        )
    except (BadSetting, StoreError, OSError) as why:
        raise not_started(why, path) from why
    try:  # from here on the store has threads, which must not outlive a failure
        await high_water.check(partial(store.read, job_records.ids_given))
        if settings.store.url:
            await check_keys(place.data, store)
        await high_water.begin(store)
        setup = await open_ground(
            place.data,
            settings,
            store,
            clock=clock,
            log=log,
            leads=True,
            leadership=held.standing if held is not None else ALONE,
            policy=policy,
        )
        central = build(setup.world, setup.tokens, settings)
        recognise = central.memory.owners.recognise if settings.store.url else nobody_new
        server, handout = open_server(
            setup, central.services, recognise=recognise, listener=place.listener
        )
        central.memory.places.isolating = await isolating_in(sites_of(place, settings))
        await central.recover(JOBS_S)
    except (BadSetting, BadKeyFile, NoBundle, StoreError, OSError) as why:
        await store.close()
        raise not_started(why, path) from why
    except BaseException:
        await store.close()
        raise
    return _Started(store, setup.world.bus, central, server, handout, high_water)


def sites_of(place: ServeOptions, settings: Settings) -> Path:
    """Return the folder of the sites' files."""
    return Path(settings.factory.sites) if settings.factory.sites else place.data / SITES


async def isolating_in(folder: Path) -> frozenset[str]:
    """Return the sites that require isolation, before the first pilot asks for a job."""
    try:
        book = await ReaderThread().do(partial(read_sites, folder, SiteBook()))
    except TimeoutError:  # the factory reports it and reads the files later
        return frozenset()
    return book.isolating


async def _drain(central: Central, server: HttpServer, serving: asyncio.Task[None]) -> None:
    """Accept no requests, answer those in progress, then write the unsaved state."""
    central.health.set_ready(False)
    server.stop()
    await asyncio.wait([serving], timeout=DRAIN_S)
    await central.stop()


async def _unknown_of(
    mine: CommunitySettings, store: Store, central: Central, matcher: MatcherSettings
) -> Sequence[tuple[str, str]]:
    """Return the shares and limits for groups that have neither tokens nor jobs."""
    known = {(mine.name, group) for group in mine.groups}
    known.update((other, "") for other in mine.others)
    try:
        known.update(await store.read(token_records.token_groups))
    except StoreError:  # the settings apply anyway
        return ()
    known.update((kind.community, kind.group) for kind, *_ in central.memory.counters.rows())
    return [*strangers(matcher, known)]


def _lost(log: Log) -> Callable[[str], None]:
    def end(why: str) -> None:
        """End at once, without finishing requests: another process may lead from now on."""
        log("lead_lost", why=why)
        os._exit(EXIT_BROKEN)

    return end


def _fatal(log: Log) -> Callable[[str], None]:
    def end(why: str) -> None:
        """End at once, because memory and disk may differ; the restart reads the disk."""
        log("store_broken", why=why)
        os._exit(EXIT_BROKEN)

    return end


__all__ = ["ADMIN_FILE", "ServeOptions", "main", "serve", "settings_of"]
