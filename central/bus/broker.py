"""The broker inside the process: amqtt behind our door."""

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
from .door import LISTENER, Door
from .errors import PortTaken
from .logins import Logins
from .plugins import DirectPlugins, PilotTopics

# amqtt says at INFO and WARNING what a client did, once a message; its parts say it again.
QUIET = ("amqtt", "transitions")


def listen(host: str, port: int) -> socket.socket:
    """Return a bound socket; port 0 takes a free one. Raises PortTaken."""
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
) -> AsyncGenerator[Door]:
    """Run the broker on this socket; everybody is cut off when the context ends."""
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
    config = BrokerConfig(
        # External: amqtt opens no socket of its own.
        listeners={LISTENER: ListenerConfig(type=ListenerType.EXTERNAL)},
        # amqtt's own lets everybody in: the door has seen their passwords.
        plugins={_dotted(BaseAuthPlugin): {}, _dotted(PilotTopics): {"logins": logins}},
    )
    broker = Broker(config)
    context = BrokerContext(broker)
    context.config = config
    broker.plugins_manager = DirectPlugins("amqtt.broker.plugins", context)
    await broker.start()
    door = Door(broker, logins, clock=clock, log=log)
    try:
        await door.open(listening)
        yield door
    finally:
        await door.close()
        await broker.shutdown()
