"""The product's private mosquitto, as tests start it."""

import asyncio
from pathlib import Path

from pilotage.central.operate import mosquitto as product
from pilotage.central.operate.mosquitto import configuration, missing, plugin

shipped = configuration()
assert shipped is not None, "a checkout has it"
CONFIGURATION: Path = shipped

__all__ = ["CONFIGURATION", "Mosquitto", "missing", "plugin"]


class Mosquitto(product.Mosquitto):
    """The same, started without holding up the loop of a test."""

    async def start(self) -> None:  # type: ignore[override]
        await asyncio.to_thread(product.Mosquitto.start, self)
