"""`pilotage serve`: everything in one process, on real drivers."""

import asyncio
import gc
import os
import resource
import signal
import ssl
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from pilotage import __version__

from ..app import Central, World, build
from ..auth import signature
from ..auth.errors import BadKeyFile
from ..auth.tokens import ADMIN_FILE, open_tokens
from ..bus.address import Address
from ..bus.embedded import EmbeddedBus
from ..bus.mosquitto import MosquittoBus
from ..bus.silent import SilentBus
from ..http.server import HttpServer
from ..observe.events import JsonLog, Log
from ..ports import Bus, Clock, Randomness
from ..settings import BadSetting, BusSettings, HttpSettings, Settings, load
from ..store.errors import StoreError
from ..store.protocol import Store
from ..store.sqlite import open_sqlite
from .bundle import NoBundle, pilot_bundle
from .clocks import SystemClock, SystemRandomness
from .datadir import DataInUse, NoData, Running, announced, locked
from .files import RealBlobs, RealDisk
from .listening import readable_by_others, refusal, url_of

CONFIG_NAME = "pilotage.yaml"
PORT_NAME = "bus.port"  # where the embedded broker listened the last time
FILES_BESIDE = 1_024  # the store, the broker and its connections, blobs
PLAIN = "no TLS: whoever is on the network can read tokens; see http.tls_certificate and http.url"
EXIT_BROKEN = 70  # the store failed in a way that only a restart mends


@dataclass(frozen=True)
class Place:
    """Where a central runs."""

    data: Path
    config: Path | None = None
    options: Mapping[str, str] | None = None


def settings_of(place: Place) -> Settings:
    """Return the settings of a place. Raises BadSetting."""
    named = place.config or (
        Path(os.environ["PILOTAGE_CONFIG"]) if "PILOTAGE_CONFIG" in os.environ else None
    )
    own = place.data / CONFIG_NAME
    file = named or (own if own.is_file() else None)
    return load(file, os.environ, place.options)


def main(place: Place) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    try:
        settings = settings_of(place)
        allow_files(settings.http.connections_max)
        with locked(place.data):
            return uvloop.run(_serve(place, settings))
    except (BadSetting, DataInUse, NoData, NotStarted, OSError) as why:
        print(f"pilotage serve: {why}", file=sys.stderr)
        return 2


def allow_files(connections_max: int) -> None:
    """Raise our limit of open files as far as we may, if the connections need it.

    1024 is what many systems give; at the limit the server cannot accept, nor the store open.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections_max + FILES_BESIDE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


class NotStarted(Exception):
    """Something that a central needs is not as it must be. Nothing was answered yet."""


class _Stopped(Exception):
    """A signal asked the central to end."""


async def _serve(place: Place, settings: Settings) -> int:
    log = JsonLog(debug=settings.log.level == "debug")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    refused: list[BaseException] = []
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(serve(place, settings, log=log))
            await stop.wait()
            log("central_stopping", why="signal")
            raise _Stopped
    except* _Stopped:
        pass
    except* NotStarted as several:
        refused += several.exceptions
    if refused:
        raise refused[0]
    return 0


async def serve(
    place: Place,
    settings: Settings,
    *,
    log: Log,
    ready: Callable[[str], Awaitable[None]] | None = None,
) -> None:
    """Run a central until cancelled. `ready` is told the URL once requests are answered.

    Raises NotStarted.
    """
    clock = SystemClock()
    began = clock.monotonic()
    try:
        store = await open_sqlite(
            place.data / "store.sqlite", clock_wall=clock.wall, fatal=_fatal(log)
        )
    except (StoreError, OSError) as why:
        raise NotStarted(str(why)) from why
    try:  # from here on the store has threads, which would outlive a failure
        try:
            bus, central, server = await _open(place, settings, store, clock, log)
        except (BadSetting, BadKeyFile, NoBundle, OSError) as why:
            raise NotStarted(str(why)) from why
        await central.recover()
        _spare_the_collector()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(central.run())
            tasks.create_task(server.run())
            url = url_of(settings.http, server.port)
            if readable_by_others(settings.http):
                log("plain_http", host=settings.http.host, why=PLAIN)
            with announced(place.data, Running(url=url, pid=os.getpid())):
                log(
                    "central_started",
                    url=url,
                    bus=bus.url or "none",
                    waiting=len(central.memory.queue.matcher),
                    attempts=central.health.health().attempts,
                    took_s=round(clock.monotonic() - began, 3),
                )
                if ready is not None:
                    await ready(url)
                try:
                    await asyncio.Event().wait()
                finally:
                    central.health.set_ready(False)
    finally:
        await store.close()


async def _open(
    place: Place, settings: Settings, store: Store, clock: Clock, log: Log
) -> tuple[Bus, Central, HttpServer]:
    """Build a central on its real drivers; the port of the API is taken."""
    randomness, bundle = SystemRandomness(), pilot_bundle()
    bus = _bus(place.data, settings, clock, randomness, log)
    disk = RealDisk()
    first_start = disk.read(place.data / ADMIN_FILE) is None
    tokens = await open_tokens(
        place.data,
        store=store,
        disk=disk,
        clock=clock,
        randomness=randomness,
        issuer=settings.token.issuer,
        audience=settings.token.audience,
        community=settings.community.name,
        groups=settings.community.groups,
        pilot_valid_s=settings.token.pilot_s,
    )
    if first_start:
        log("first_token", file=str(place.data / ADMIN_FILE))
    world = World(
        store=store,
        blobs=RealBlobs(place.data / "blobs"),
        bus=bus,
        clock=clock,
        randomness=randomness,
        log=log,
    )
    central = build(world, tokens, settings)
    signer = signature.load(place.data, disk=disk)
    _check_tls(settings.http)
    try:
        server = HttpServer(
            central.services,
            host=settings.http.host,
            port=settings.http.port,
            version=__version__,
            bundle=partial(asyncio.to_thread, lambda: signer.sign(bundle.read_bytes())),
            tls_certificate=settings.http.tls_certificate,
            tls_key=settings.http.tls_key,
            connections_max=settings.http.connections_max,
            spool_dir=place.data,
        )
    except OSError as why:
        raise refusal(why, settings.http) from why
    return bus, central, server


def _check_tls(http: HttpSettings) -> None:
    """Raise BadSetting if the files do not make a TLS server."""
    if not http.tls_certificate and not http.tls_key:
        return
    if not http.tls_certificate or not http.tls_key:
        raise BadSetting("http.tls_certificate, http.tls_key", "give both or none")
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            http.tls_certificate, http.tls_key
        )
    except OSError as why:
        files = f"{http.tls_certificate} and {http.tls_key}"
        raise BadSetting("http.tls_certificate, http.tls_key", f"{files}: {why}") from None


def _spare_the_collector() -> None:
    """What is in memory now stays: a full collection would walk all of it, for tens of ms."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _fatal(log: Log) -> Callable[[str], None]:
    def end(why: str) -> None:
        """Memory and disk may differ: end at once, the restart reads what is on disk."""
        log("store_broken", why=why)
        os._exit(EXIT_BROKEN)

    return end


def _bus(data: Path, settings: Settings, clock: Clock, randomness: Randomness, log: Log) -> Bus:
    broker = settings.bus.broker
    if broker == "none":
        return SilentBus()
    if broker == "embedded":
        return _embedded(data / PORT_NAME, settings.bus, clock, randomness, log)
    return MosquittoBus(
        _address(settings.bus),
        clock=clock,
        randomness=randomness,
        log=log,
        queue_max=settings.bus.queue_max,
        public_url=settings.bus.url,
    )


def _embedded(
    kept: Path, bus: BusSettings, clock: Clock, randomness: Randomness, log: Log
) -> EmbeddedBus:
    """Start the broker where it was before a restart: the pilots that live know no other place."""

    def at(port: int) -> EmbeddedBus:
        return EmbeddedBus(
            bus.host,
            port,
            clock=clock,
            randomness=randomness,
            log=log,
            queue_max=bus.queue_max,
            public_url=bus.url,
        )

    if bus.port:
        return at(bus.port)
    try:
        broker = at(int(kept.read_text()))
    except (OSError, ValueError):  # never started here, or somebody else has the port now
        broker = at(0)
    kept.write_text(str(broker.port))
    return broker


def _address(bus: BusSettings) -> Address:
    """Return the outside broker and our login on it. Raises BadSetting."""
    parts = urlsplit(bus.broker)
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
        raise BadSetting(
            "bus.broker", f"{bus.broker!r} is none of embedded, none, mqtt://host, mqtts://host"
        )
    secure = parts.scheme == "mqtts"
    return Address(
        host=parts.hostname,
        port=parts.port or (8883 if secure else 1883),
        user=bus.user,
        password=Path(bus.password_file).read_text().strip() if bus.password_file else "",
        tls=ssl.create_default_context(cafile=bus.ca_file or None) if secure else None,
    )


__all__ = ["ADMIN_FILE", "Place", "main", "serve", "settings_of"]
