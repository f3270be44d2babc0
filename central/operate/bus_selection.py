"""Opens the message bus that the settings name."""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pilotage.proto.trust import trusting

from ..bus.address import Address
from ..bus.no_bus import SilentBus
from ..observe.events import Log
from ..ports import Bus, Clock, Randomness
from ..settings import BadSetting, BusSettings
from .last_port import BUS_PORT, on_last_port

if TYPE_CHECKING:  # most centrals start without these slow imports
    from ..bus.embedded import EmbeddedBus


def bus_of(data: Path, bus: BusSettings, clock: Clock, randomness: Randomness, log: Log) -> Bus:
    """Return the bus of the central with the data directory `data`. Raises BadSetting, OSError."""
    if bus.broker == "none":
        return SilentBus()
    if bus.broker == "embedded":
        return _embedded(data / BUS_PORT, bus, clock, randomness, log)
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
    """Start the broker on its last port, where live pilots still look for it."""

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
    return on_last_port(kept, at)


def outside_address(bus: BusSettings) -> Address:
    """Return the external broker and the central's login there. Raises BadSetting."""
    parts = urlsplit(bus.broker)
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
        raise BadSetting(
            "bus.broker", f"found {bus.broker!r}, expected embedded, none, mqtt(s)://host"
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
        said = why.strerror if isinstance(why, OSError) else "is not text"
        raise BadSetting("bus.password_file", f"{file}: {said}") from None
