"""Opens the parts that processes of all roles need: tokens, drivers, files, the port."""

import asyncio
import socket
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pilotage import __version__

from ..app.process_parts import World
from ..app.route_assembly import ApiServices, Handouts, face
from ..bus.no_bus import SilentBus
from ..dispatch.limits import Policy
from ..http.app import Recognise
from ..http.forwarding import LeaderLink
from ..http.server import HttpServer
from ..identity import signature
from ..identity.element_issuer import ElementIssuer
from ..identity.tokens import ADMIN_FILE, TokenIssuer, open_tokens
from ..leadership import ALONE
from ..notifications.assembly import Senders
from ..observe.events import Log
from ..ports import Clock, Leadership
from ..settings import Settings
from ..store.engine import Store
from .api_address import refusal, url_of
from .bus_selection import bus_of
from .clocks import SystemRandomness
from .datadir import STORE_FILE
from .distribution.client_wheel import WheelHandout
from .distribution.handout import Handout
from .distribution.pilot_bundle import pilot_bundle
from .files import RealBlobs, RealDisk, RealSpace
from .last_port import API_PORT, on_last_port
from .machine_readings import MachineReadings
from .providers.setup import identity_of
from .rucio_servers.setup import rucio_drivers
from .smtp import mailer_of, user_mailer_of
from .storages.setup import remote_storages, storages_of
from .store_identity import check_token
from .unknown_names import NEW_TOKEN, unused
from .webhooks import WebhookPoster


@dataclass(frozen=True)
class ProcessSetup:
    """The base of a process: its data directory, tokens and drivers."""

    data: Path
    settings: Settings
    tokens: TokenIssuer
    world: World
    bundle: Path
    signer: signature.FileSigner


async def open_ground(
    data: Path,
    settings: Settings,
    store: Store,
    *,
    clock: Clock,
    log: Log,
    leads: bool,
    leadership: Leadership = ALONE,
    policy: Policy | None = None,
) -> ProcessSetup:
    """Open tokens and drivers. Without the lead (`leads`), write no keys and use no bus.

    Raises BadSetting, BadKeyFile, NoBundle, StoreError, OSError.
    """
    randomness, bundle, disk = SystemRandomness(), pilot_bundle(), RealDisk()
    mine, first_start = settings.community, disk.read(data / ADMIN_FILE) is None
    identity = identity_of(
        settings.token.providers, data, clock=clock, randomness=randomness, log=log
    )
    tokens = await open_tokens(
        data,
        store=store,
        disk=disk,
        clock=clock,
        randomness=randomness,
        issuer=settings.token.issuer,
        audience=settings.token.audience,
        community="" if mine.others else mine.name,
        groups=() if mine.others else mine.groups,
        pilot_valid_s=settings.token.pilot_s,
        login_valid_s=settings.token.login_s,
        outside=identity.outside,
        writes=leads,
    )
    if leads and first_start:
        log("first_token", file=str(data / ADMIN_FILE))
    await check_token(data, tokens, store, disk=disk)
    if leads:
        admin = tokens.read_admin(data / ADMIN_FILE, disk=disk)
        why = unused(mine, admin.community, admin.groups) if admin is not None else ""
        if why:
            log("community_unused", why=why, do=NEW_TOKEN)
    signer = signature.load(data, disk=disk)
    blobs = RealBlobs(data / "blobs")
    # All steps that need disk space come first: the next ones take ports and run only once.
    bus = bus_of(data, settings.bus, clock, randomness, log) if leads else SilentBus()
    storages = storages_of(settings.data.storages, data, log)
    await asyncio.to_thread(storages.look)
    remote = remote_storages(data, storages, identity, clock=clock, randomness=randomness)
    await asyncio.to_thread(identity.providers.look)
    rucio = rucio_drivers(data, identity, clock=clock, randomness=randomness, log=log)
    await asyncio.to_thread(rucio.files.look)
    world = World(
        store=store,
        leadership=leadership,
        policy=policy,
        blobs=blobs,
        bus=bus,
        clock=clock,
        randomness=randomness,
        log=log,
        readings=MachineReadings(data, settings.http.tls_certificate),
        storages=storages,
        remote=remote,
        identity=identity,
        rucio=rucio,
        space=RealSpace(data, data / f"{STORE_FILE}-wal"),
        mailer=mailer_of(settings.failover.mail) if leads else None,
        senders=Senders(
            mailer=user_mailer_of(settings.failover.mail), poster=WebhookPoster(settings.notify)
        ),
    )
    return ProcessSetup(data, settings, tokens, world, bundle, signer)


def open_server(
    setup: ProcessSetup,
    services: ApiServices,
    *,
    recognise: Recognise,
    leader_link: LeaderLink | None = None,
    listener: socket.socket | None = None,
) -> tuple[HttpServer, Handout]:
    """Open the server of the API. `listener` is already bound. Raises BadSetting."""
    data, http, world = setup.data, setup.settings.http, setup.world

    def url() -> str:
        return url_of(http, server.port)  # a free port is known only after it was bound

    handout = Handout(setup.bundle, setup.signer, url)
    issuer = ElementIssuer(
        data, url, disk=RealDisk(), clock=world.clock, randomness=world.randomness
    )
    front = face(
        services,
        handouts=Handouts(
            version=__version__,
            pilot_files=partial(asyncio.to_thread, handout.files),
            client_wheel=partial(asyncio.to_thread, WheelHandout(setup.bundle).wheel),
            element_issuer=partial(asyncio.to_thread, issuer.published),
        ),
        leader_link=leader_link,
        recognise=recognise,
        spool_dir=data,
        life=f"{int(world.clock.wall()):x}",
        log=world.log,
    )
    at = partial(
        HttpServer,
        front,
        host=http.host,
        tls_certificate=http.tls_certificate,
        tls_key=http.tls_key,
        connections_max=http.connections_max,
        strangers_max=http.strangers_max,
        listener=listener,
    )
    try:
        if http.port or listener is not None:
            server = at(port=http.port)
        else:
            server = on_last_port(data / API_PORT, lambda port: at(port=port))
    except OSError as why:
        raise refusal(why, http) from why
    setup.world.identity.address.url = url()
    return server, handout
