"""What benches run on: a real central, a real broker, real pilots; and a lean HTTP sender."""

import http.client
import secrets
import shutil
import sys
import tempfile
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from pilotage.central.client import Client
from pilotage.central.operate.demo.local_central import (
    LocalCentral,
    LocalPilot,
    end,
    local_central,
    start_pilot,
    wait_for_pilots,
)
from pilotage.central.operate.local_pilots import PilotPlan
from pilotage.central.operate.servers.mosquitto import Mosquitto, missing
from pilotage.proto.documents.job import Job, Need

NOOP = Job(command=("true",), needs=(Need(wall_s=60),))


@dataclass(frozen=True)
class Rig:
    """A central of our own and a client of it."""

    central: LocalCentral
    client: Client
    stack: ExitStack

    @property
    def token(self) -> str:
        return (self.central.data / "admin.token").read_text().strip()

    def pilots(
        self, count: int, *, cores: int, isolation: str, python: str = sys.executable
    ) -> list[LocalPilot]:
        """Start pilots on this machine; they end with the rig."""
        plan = PilotPlan(
            python=python,
            told={
                "cores": cores,
                "overcommit": True,
                "memory_mb": 1_000 * cores,
                "isolation": isolation,
            },
        )
        pilots = [
            start_pilot(self.client, self.central, "bench", "local", plan, is_tied=True)
            for _ in range(count)
        ]
        for pilot in pilots:
            self.stack.callback(end, pilot.process)
        wait_for_pilots(self.client, pilots)
        return pilots

    def pilot_through(self, url: str, *, python: str) -> LocalPilot:
        """Start a pilot to which `url` is the central; who asked for it ends it."""
        central = replace(
            self.central, running=msgspec.structs.replace(self.central.running, url=url)
        )
        plan = PilotPlan(python=python)
        return start_pilot(self.client, central, "bench", "local", plan, is_tied=True)

    def sender(self) -> "Sender":
        """Return a connection of its own."""
        sender = Sender(self.central.url, self.token)
        self.stack.callback(sender.close)
        return sender


@contextmanager
def rig(options: Mapping[str, str] | None = None, *, mosquitto: bool = False) -> Generator[Rig]:
    """Start a central in a temporary folder; everything is gone afterwards.

    With `mosquitto` beats travel over a broker of their own, where this machine has it.
    """
    folder = Path(tempfile.mkdtemp(prefix="pilotage-bench-"))
    try:
        with ExitStack() as stack:
            chosen = dict(options or {})
            if mosquitto and not missing():
                chosen |= _broker(folder, stack)
            central = stack.enter_context(local_central(folder / "data", chosen))
            client = stack.enter_context(Client(data=central.data))
            yield Rig(central, client, stack)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _broker(folder: Path, stack: ExitStack) -> dict[str, str]:
    """Start mosquitto; return the settings with which a central uses it."""
    place = folder / "broker"
    place.mkdir(mode=0o700)
    password = secrets.token_urlsafe()
    (place / "password").write_text(password)
    broker = Mosquitto(place, password)
    broker.start()
    stack.callback(broker.stop)
    return {
        "bus.broker": f"mqtt://127.0.0.1:{broker.port}",
        "bus.user": broker.user,
        "bus.password_file": str(place / "password"),
    }


class Sender:
    """One kept-alive connection that sends prepared bodies: what it costs is the central's."""

    def __init__(self, url: str, token: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=120)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def post(self, path: str, body: bytes) -> bytes:
        """Send and return the answer; anything but 200 is an error of the bench."""
        return self._ask("POST", path, body)

    def get(self, path: str) -> bytes:
        return self._ask("GET", path, None)

    def close(self) -> None:
        self._connection.close()

    def _ask(self, method: str, path: str, body: bytes | None) -> bytes:
        self._connection.request(method, path, body, self._headers)
        reply = self._connection.getresponse()
        found = reply.read()
        if reply.status != 200:
            raise RuntimeError(f"{method} {path}: {reply.status} {found[:300]!r}")
        return found
