"""The bus for a laptop, a demo or a small site: a broker inside the central's process.

amqtt serves some tens of pilots. For more pilots, use mosquitto (`mosquitto.py`).
"""

import dataclasses

from pilotage.proto import topics

from ..observe.events import Log
from ..ports import Clock, Inbound, Randomness
from .address import Address, BusTimeouts
from .broker import listen, serving
from .connection import BusConnection
from .door import BrokerListener
from .logins import Logins


class EmbeddedBus:
    """A `Bus` that needs no installation. The constructor binds the port."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        clock: Clock,
        randomness: Randomness,
        log: Log,
        patience: BusTimeouts | None = None,
        queue_max: int = 10_000,
        public_url: str = "",
    ) -> None:
        self._public_url = public_url
        self._listening = listen(host, port)
        self._clock, self._log = clock, log
        user, password = f"central-{randomness.token(9)}", randomness.token()
        self._logins = Logins(user, password)
        self._door: BrokerListener | None = None
        self._address = Address(host, self._listening.getsockname()[1], user, password)
        self._connection = BusConnection(
            # A broker that listens on all addresses is reached on the loopback.
            Address(_own(host), self._address.port, user, password),
            [topics.all_up()],
            clock=clock,
            randomness=randomness,
            log=log,
            patience=patience,
            queue_max=queue_max,
        )

    @property
    def up(self) -> bool:
        return self._connection.up

    @property
    def port(self) -> int:
        """The broker's port; with port 0, a free one."""
        return self._address.port

    @property
    def url(self) -> str:
        return self._public_url or self._address.url

    def counts(self) -> dict[str, int]:
        broken = self._door.broken if self._door is not None else 0
        return {**dataclasses.asdict(self._connection.traffic), "broken": broken}

    def publish(self, topic: str, payload: bytes) -> None:
        self._connection.publish(topic, payload)

    async def add_login(self, community: str, pilot: str, password: str) -> None:
        self._logins.add(community, pilot, password)

    async def remove_login(self, community: str, pilot: str) -> None:
        if self._logins.remove(community, pilot) and self._door is not None:
            self._door.cut(pilot)

    async def run(self, inbound: Inbound) -> None:
        async with serving(
            self._listening, self._logins, clock=self._clock, log=self._log
        ) as self._door:
            await self._connection.run(inbound)

    def close(self) -> None:
        """Release the port if `run` was never called. Otherwise `run` has released it."""
        self._listening.close()


def _own(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
