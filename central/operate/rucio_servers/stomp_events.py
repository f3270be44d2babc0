"""Listens to the events of Rucio servers with stomp.py, which has threads of its own."""

import asyncio
import contextlib
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
        import stomp
        from stomp.exception import StompException

        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        said: list[str] = []  # errors of the broker

        def hear(text: str) -> None:
            event = event_of(text)
            if event is not None:
                heard(event)

        def soon(call: Callable[..., object], *given: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(call, *given)

        class Listener(stomp.ConnectionListener):  # type: ignore[misc]
            def on_message(self, frame: Any) -> None:
                soon(hear, frame.body)

            def on_error(self, frame: Any) -> None:
                said.append(printable(str(frame.headers.get("message", ""))))

            def on_disconnected(self) -> None:
                soon(ended.set)

            def on_heartbeat_timeout(self) -> None:
                soon(ended.set)

        connection = await asyncio.to_thread(_connection, events)
        connection.set_listener("", Listener())
        try:
            await asyncio.to_thread(_subscribe, connection, events)
            await ended.wait()
            return said[0] if said else "the broker ended the connection"
        except StompException as why:
            return said[0] if said else f"{type(why).__name__}: {why}".rstrip(": ")
        finally:
            with contextlib.suppress(StompException, OSError):
                await asyncio.to_thread(connection.disconnect)


def _connection(events: RucioEvents) -> Any:
    import stomp

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
