"""The factory in a central that serves: its files, its programs, its rounds."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from ..dispatch.demand import WaitingJobs
from ..dispatch.live_pilots import LivePilotService
from ..factory.commands import Commands
from ..factory.credential import CredentialSource
from ..factory.credentials.credential_expiry import KnownCredential
from ..factory.credentials.sources import source
from ..factory.drivers import Tools
from ..factory.element_book import ElementBook
from ..factory.element_watch import WatchedElement
from ..factory.factory import Factory, FactoryConfig
from ..factory.pilot_requests import PilotDefaults
from ..factory.planning.plans import PlanBounds
from ..factory.site_checks import SiteChecks
from ..factory.site_files.sites import ElementEntry
from ..factory.spawned_commands import spawned
from ..factory.view import ElementsView
from ..identity.element_issuer import ElementIssuer
from ..identity.providers.client_requests import ClientRequests
from ..identity.providers.metadata import MetadataReader
from ..observe.events import Log
from ..ports import Clock, Randomness
from ..settings import Settings
from ..store.engine import Store
from .files import RealDisk
from .providers.provider_http import RealProviderHttp

SITES, ELEMENTS = "sites", "elements"  # folders in the data directory


async def keep_pilots(
    *,
    data: Path,
    settings: Settings,
    store: Store,
    work: WaitingJobs,
    crew: LivePilotService,
    view: ElementsView,
    url: str,
    pilot_sh: Callable[[], str],
    has_asked: Callable[[str], bool],
    read_limits: Callable[[], None],
    clock: Clock,
    randomness: Randomness,
    log: Log,
) -> None:
    """Keep pilots on the elements of all sites. Ends by cancellation.

    SIGHUP reads the sites' files again, at once. `read_limits`: called on the same signal, to read
    shares and limits again.
    """
    folder = Path(settings.factory.sites) if settings.factory.sites else data / SITES
    http = RealProviderHttp()
    async with AsyncExitStack() as closing:
        closing.push_async_callback(http.close)
        commands = await closing.enter_async_context(spawned())
        signer = ElementIssuer(
            data, lambda: url, disk=RealDisk(), clock=clock, randomness=randomness
        )
        communities = settings.community.names
        credentials = partial(
            source,
            commands=commands,
            clock=clock,
            signer=signer,
            requests=ClientRequests(http, MetadataReader(http, clock)),
            randomness=randomness,
        )
        tools = _tools(data / ELEMENTS, commands, clock, credentials)
        book = ElementBook(folder, tools, log, communities=communities)
        view.book, view.communities = book, communities

        async def elements() -> list[WatchedElement]:
            watched = await book.fresh()
            if not book.is_unread:
                work.require_isolation(book.sites.isolating)
            view.note(watched)
            return [*watched, *book.left()]

        reload = asyncio.Event()

        def look_again() -> None:
            book.look_again()
            reload.set()
            read_limits()

        async def read_at_once() -> None:
            while True:
                await reload.wait()
                reload.clear()
                await elements()

        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, look_again)
        script = await asyncio.to_thread(pilot_sh)
        hide, ca = _hidden(data), own_authority()
        view.checks = checks = SiteChecks(
            book=book,
            store=store,
            origin=PilotDefaults(communities[0], url, script, hide, made_by="site check", ca=ca),
            has_asked=has_asked,
            held=view.held,
            clock=clock,
            randomness=randomness,
            log=log,
            communities=communities,
        )
        view.factory = factory = Factory(
            store=store,
            work=work,
            crew=crew,
            elements=elements,
            is_gone=book.is_gone,
            clock=clock,
            randomness=randomness,
            log=log,
            config=FactoryConfig(
                communities=communities,
                central_url=url,
                pilot_sh=script,
                every_s=settings.factory.every_s,
                hide=hide,
                ca=ca,
                bounds=PlanBounds(settings.factory.submit_max, settings.factory.pilots_max),
            ),
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(read_at_once())
            group.create_task(checks.run())
            group.create_task(factory.run())


def own_authority() -> str:
    """Return the file of `PILOTAGE_CA_FILE`, for pilots on this machine; empty: the system's."""
    named = os.environ.get("PILOTAGE_CA_FILE", "")
    return str(Path(named).absolute()) if named else ""


def _hidden(data: Path) -> tuple[str, ...]:
    return (str(data.absolute()),)


def _tools(
    folder: Path, commands: Commands, clock: Clock, credentials: Callable[..., CredentialSource]
) -> Callable[..., Tools]:
    def make(site: str, name: str, entry: ElementEntry) -> Tools:
        own = folder / site / name
        own.mkdir(mode=0o700, parents=True, exist_ok=True)
        said = entry.credential
        if said is None:
            return Tools(commands, clock, own)
        found = credentials(said.source, said.options)
        return Tools(commands, clock, own, KnownCredential(found, clock))

    return make
