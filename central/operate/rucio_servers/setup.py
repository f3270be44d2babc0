"""The Rucio servers of a central: their files, connections, and messages for its log."""

from functools import partial
from pathlib import Path

from ...factory.credentials.sources import source
from ...identity.assembly import IdentityDrivers
from ...identity.element_issuer import ElementIssuer
from ...observe.events import Log
from ...ports import Clock, Randomness
from ...rucio.drivers import RucioDrivers
from ...rucio.files import FOLDER, RucioBook, RucioFiles
from ..files import RealDisk
from .rucio_http import RucioHttp
from .stomp_events import StompListener


def rucio_files(data: Path, log: Log) -> RucioFiles:
    """Return the servers from the data directory."""
    told = 0

    def changed(book: RucioBook) -> None:
        nonlocal told
        for name, why in book.troubles.items():
            log("rucio_trouble", rucio=name, why=why)
        if book.unlisted:
            log("rucio_trouble", rucio="", why=book.unlisted)
        found = len(book.entries) + len(book.troubles)
        if found or told:  # most centrals have none, and log nothing
            log("rucio_read", servers=len(book.entries), troubles=len(book.troubles))
        told = found

    return RucioFiles(data / FOLDER, changed)


def rucio_drivers(
    data: Path, identity: IdentityDrivers, *, clock: Clock, randomness: Randomness, log: Log
) -> RucioDrivers:
    """Return the servers of the data directory, and the way to them."""
    signer = ElementIssuer(
        data, lambda: identity.address.url, disk=RealDisk(), clock=clock, randomness=randomness
    )
    credentials = partial(
        source,
        clock=clock,
        signer=signer,
        requests=identity.requests,
        randomness=randomness,
    )
    listen = StompListener(clock, log).listen
    return RucioDrivers(rucio_files(data, log), RucioHttp(credentials).connect, listen)
