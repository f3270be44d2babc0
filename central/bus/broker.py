"""The broker inside the process: amqtt behind the door (see `door`)."""

# pyright: reportMissingTypeStubs=false

import logging
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from amqtt.broker import Broker, BrokerContext
from amqtt.contexts import BrokerConfig, ListenerConfig, ListenerType
from amqtt.plugins.base import BaseAuthPlugin

from ..observe.events import Log
from ..ports import Clock
from .door import LISTENER, BrokerListener
from .errors import PortTaken
from .logins import Logins
from .plugins import DirectPlugins, PilotTopics

# amqtt logs each message of a client at INFO and WARNING, some of them twice.
QUIET = ("amqtt", "transitions")


def listen(host: str, port: int) -> socket.socket:
    """Return a bound socket. Port 0 chooses a free port. Raises PortTaken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=256)
    except OSError as why:
        raise PortTaken(host, port, str(why)) from why
    listening.setblocking(False)
    return listening


def _dotted(plugin: type[object]) -> str:
    return f"{plugin.__module__}.{plugin.__qualname__}"


@asynccontextmanager
async def serving(
    listening: socket.socket, logins: Logins, *, clock: Clock, log: Log
) -> AsyncGenerator[BrokerListener]:
    """Run the broker on this socket. All clients are disconnected when the context ends."""
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
    config = BrokerConfig(
        # External: amqtt opens no socket itself.
        listeners={LISTENER: ListenerConfig(type=ListenerType.EXTERNAL)},
        # amqtt's plug-in accepts all clients; the door has already checked their passwords.
        plugins={_dotted(BaseAuthPlugin): {}, _dotted(PilotTopics): {"logins": logins}},
    )
    broker = Broker(config)
    context = BrokerContext(broker)
    context.config = config
    broker.plugins_manager = DirectPlugins("amqtt.broker.plugins", context)
    await broker.start()
    door = BrokerListener(broker, logins, clock=clock, log=log)
    try:
        await door.open(listening)
        yield door
    finally:
        await door.close()
        await broker.shutdown()
