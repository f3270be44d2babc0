"""Listens to the events of Rucio servers with stomp.py, which has threads of its own."""

import asyncio
import contextlib
import importlib
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from ...errors import printable
from ...observe.events import Log
from ...ports import Clock
from ...rucio.events import Heard, event_of
from ...rucio.files import RucioEvents
from ..providers.setup import read_secret

CONNECT_S: Final = 10.0
HEARTBEAT_MS: Final = 10_000
PAUSE_S: Final = 5.0  # after the first failure; doubled by each further one
PAUSE_MAX_S: Final = 300.0
EXTRA: Final = "needs stomp.py: pip install 'pilotage[rucio]'"


class StompListener:
    """Listens to brokers. Each server's file has one connection."""

    def __init__(self, clock: Clock, log: Log) -> None:
        self._clock, self._log = clock, log

    async def listen(self, events: RucioEvents, heard: Heard, name: str) -> None:
        """Call `heard` for each event, until it is cancelled. A broker may go and come back."""
        failures = 0
        while True:
            began = self._clock.monotonic()
            try:
                why = await self._once(events, heard)
            except ImportError:
                why = EXTRA
            except (OSError, ValueError) as wrong:
                why = str(wrong)
            failures = 0 if self._clock.monotonic() - began > PAUSE_MAX_S else failures + 1
            self._log("rucio_events_away", rucio=name, broker=events.broker, why=why)
            await self._clock.sleep(min(PAUSE_MAX_S, PAUSE_S * 2.0 ** min(failures - 1, 20)))

    async def _once(self, events: RucioEvents, heard: Heard) -> str:
        """Listen until the connection ends, and return why. Raises ImportError, OSError."""
        stomp, exceptions = _library("stomp"), _library("stomp.exception")
        listener = _Listener(asyncio.get_running_loop(), heard)
        connection = await asyncio.to_thread(_connection, stomp, events)
        connection.set_listener("", listener)
        try:
            await asyncio.to_thread(_subscribe, connection, events)
            await listener.ended.wait()
            return listener.why or "the broker ended the connection"
        except exceptions.StompException as why:
            return listener.why or f"{type(why).__name__}: {why}".rstrip(": ")
        finally:
            with contextlib.suppress(exceptions.StompException, OSError):
                await asyncio.to_thread(connection.disconnect)


class _Listener:
    """Hands events to the loop. The library calls these methods in a thread of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, heard: Heard) -> None:
        self._loop, self._heard = loop, heard
        self.ended = asyncio.Event()
        self.why = ""  # the broker's error

    def on_message(self, frame: Any) -> None:
        event = event_of(frame.body)
        if event is not None:
            self._soon(self._heard, event)

    def on_error(self, frame: Any) -> None:
        self.why = printable(str(frame.headers.get("message", "")))[:500]

    def on_disconnected(self) -> None:
        self._soon(self.ended.set)

    def on_heartbeat_timeout(self) -> None:
        self._soon(self.ended.set)

    def on_send(self, frame: Any) -> None:
        """Do nothing; the library requires it."""

    def _soon(self, call: Callable[..., object], *given: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(call, *given)


def _library(name: str) -> Any:
    """Return a module of stomp.py, which has no types. Raises ImportError."""
    return importlib.import_module(name)


def _connection(stomp: Any, events: RucioEvents) -> Any:
    place = urlsplit(events.broker)
    where = (place.hostname, place.port)
    connection = stomp.Connection12(
        [where],
        prefer_localhost=False,
        try_loopback_connect=False,
        reconnect_attempts_max=1,
        timeout=CONNECT_S,
        heartbeats=(HEARTBEAT_MS, HEARTBEAT_MS),
        vhost=events.virtual_host or place.hostname,
    )
    if place.scheme == "stomps":
        connection.set_ssl(for_hosts=[where])  # it verifies, with the system's authorities
    return connection


def _subscribe(connection: Any, events: RucioEvents) -> None:
    """Log in and subscribe. Raises OSError, ValueError, StompException."""
    login = {}
    if events.user:
        password = read_secret(events.password_file) if events.password_file else ""
        login = {"username": events.user, "passcode": password}
    connection.connect(wait=True, **login)
    connection.subscribe(destination=events.destination, id="1", ack="auto")
