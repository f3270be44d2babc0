"""Which message bus the settings ask for."""

from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from pilotage.proto.trust import trusting

from ..bus.address import Address
from ..bus.no_bus import SilentBus
from ..observe.events import Log
from ..ports import Bus, Clock, Randomness
from ..settings import BadSetting, BusSettings
from .files import NO_ROOM

if TYPE_CHECKING:  # its libraries are a fifteenth of each start
    from ..bus.embedded import EmbeddedBus

PORT_NAME: Final = "bus.port"  # where the embedded broker listened the last time


def bus_of(data: Path, bus: BusSettings, clock: Clock, randomness: Randomness, log: Log) -> Bus:
    """Return the bus of a central whose data directory is `data`. Raises BadSetting, OSError."""
    if bus.broker == "none":
        return SilentBus()
    if bus.broker == "embedded":
        return _embedded(data / PORT_NAME, bus, clock, randomness, log)
    from ..bus.mosquitto import MosquittoBus

    return MosquittoBus(
        outside_address(bus),
        clock=clock,
        randomness=randomness,
        log=log,
        queue_max=bus.queue_max,
        public_url=bus.url,
    )


def _embedded(
    kept: Path, bus: BusSettings, clock: Clock, randomness: Randomness, log: Log
) -> "EmbeddedBus":
    """Start the broker where it was before a restart: the pilots that live know no other place."""

    from ..bus.embedded import EmbeddedBus

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
    _keep(kept, broker.port)
    return broker


def _keep(kept: Path, port: int) -> None:
    """Write the port down for the next start, if it has changed.

    On a full disk it stays unwritten: then the pilots find the broker again by the central.
    """
    text = str(port)
    try:
        if not kept.is_file() or kept.read_text() != text:
            kept.write_text(text)
    except OSError as why:
        if why.errno not in NO_ROOM:
            raise


def outside_address(bus: BusSettings) -> Address:
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
        password=_password(bus.password_file),
        tls=trusting(bus.ca_file) if secure else None,
    )


def _password(file: str) -> str:
    if not file:
        return ""
    try:
        return Path(file).read_text().strip()
    except (OSError, UnicodeDecodeError) as why:
        said = why.strerror if isinstance(why, OSError) else "is no text"
        raise BadSetting("bus.password_file", f"{file}: {said}") from None
