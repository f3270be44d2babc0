"""No bus: pilots use HTTP for heartbeats and requests. The `ports.Bus` for `bus.broker: none`."""

import asyncio

from ..ports import Inbound


class SilentBus:
    """A bus that carries no messages."""

    @property
    def up(self) -> bool:
        return False

    @property
    def url(self) -> str:
        return ""

    def counts(self) -> dict[str, int]:
        return {}

    def publish(self, topic: str, payload: bytes) -> None:
        pass

    async def add_login(self, community: str, pilot: str, password: str) -> None:
        pass

    async def remove_login(self, community: str, pilot: str) -> None:
        pass

    async def run(self, inbound: Inbound) -> None:
        await asyncio.Event().wait()
