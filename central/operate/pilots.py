"""The factory of a central that serves: its files, its programs, its rounds."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

from ..factory.book import ElementBook
from ..factory.commands import Commands
from ..factory.credentials.sources import source
from ..factory.drivers import Tools
from ..factory.factory import Factory, Terms
from ..factory.plan import Bounds
from ..factory.sites import ElementEntry
from ..factory.spawned import spawned
from ..factory.view import ElementsView
from ..jobs.work import WaitingWork
from ..observe.events import Log
from ..ports import Clock, Randomness
from ..settings import Settings
from ..store.protocol import Store

SITES, ELEMENTS = "sites", "elements"  # folders in the data directory


async def keep_pilots(
    *,
    data: Path,
    settings: Settings,
    store: Store,
    work: WaitingWork,
    view: ElementsView,
    url: str,
    pilot_sh: Callable[[], str],
    clock: Clock,
    randomness: Randomness,
    log: Log,
) -> None:
    """Keep pilots on the elements of all sites, for ever; SIGHUP reads the sites' files again."""
    folder = Path(settings.factory.sites) if settings.factory.sites else data / SITES
    async with spawned() as commands:
        book = ElementBook(folder, _tools(data / ELEMENTS, commands, clock), log)
        view.book = book
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, book.look_again)
        factory = Factory(
            store=store,
            work=work,
            elements=book.fresh,
            clock=clock,
            randomness=randomness,
            log=log,
            terms=Terms(
                community=settings.community.name,
                central_url=url,
                pilot_sh=await asyncio.to_thread(pilot_sh),
                every_s=settings.factory.every_s,
                hide=_hidden(data),
                bounds=Bounds(settings.factory.submit_max, settings.factory.pilots_max),
            ),
        )
        await factory.run()


def _hidden(data: Path) -> tuple[str, ...]:
    return (str(data.absolute()),)


def _tools(folder: Path, commands: Commands, clock: Clock) -> Callable[..., Tools]:
    def make(site: str, name: str, entry: ElementEntry) -> Tools:
        own = folder / site / name
        own.mkdir(mode=0o700, parents=True, exist_ok=True)
        said = entry.credential
        if said is None:
            return Tools(commands, clock, own)
        found = source(said.source, said.options, commands=commands, clock=clock)
        return Tools(commands, clock, own, found)

    return make
