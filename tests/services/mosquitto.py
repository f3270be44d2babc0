"""The product's private mosquitto, as tests start it."""

import asyncio
import signal
from pathlib import Path

from pilotage.central.operate.servers import mosquitto as product
from pilotage.central.operate.servers.mosquitto import configuration, missing, plugin

shipped = configuration()
assert shipped is not None, "a checkout has it"
CONFIGURATION: Path = shipped

__all__ = ["CONFIGURATION", "Mosquitto", "missing", "plugin"]


class Mosquitto(product.Mosquitto):
    """The same, started without holding up the loop of a test."""

    async def start(self) -> None:  # type: ignore[override]
        await asyncio.to_thread(product.Mosquitto.start, self)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal that does not end it."""
        assert self._process is not None
        self._process.send_signal(number)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid
