"""A central under load: real processes, all promises kept, limits and shares at work."""

import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Coroutine, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import uvloop

from pilotage.central.operate.demo.local_central import START_S, LocalCentral, end, local_central
from pilotage.central.operate.process import tied
from pilotage.proto.trust import trusting

from .backing import Server
from .backlog import SETTINGS
from .wire import cut_all

T = TypeVar("T")

BASE = {"bus.broker": "none", "http.connections_max": "18000", **SETTINGS}
_REQUEST = (
    *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
    *("-nodes", "-days", "2", "-subj", "/CN=localhost"),
    *("-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
)


@dataclass(frozen=True)
class Act:
    """One life of the central's process."""

    central: LocalCentral
    tls: ssl.SSLContext | None
    server: Server | None  # that its store is on

    @property
    def url(self) -> str:
        return self.central.url

    @property
    def token(self) -> str:
        return (self.central.data / "admin.token").read_text().strip()

    @property
    def pid(self) -> int:
        return self.central.process.pid

    def server_cpu_s(self) -> float | None:
        """Return the CPU time of the database's server so far; None where we have started none."""
        return None if self.server is None else self.server.cpu_s()


@dataclass(frozen=True)
class Stage:
    """A data directory on which one central after another runs, and where its store is."""

    folder: Path
    server: Server | None = None
    store_url: str = ""

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @contextmanager
    def act(
        self, options: Mapping[str, str] | None = None, *, tls: bool = False, url: str = ""
    ) -> Generator[Act]:
        """Run a central, where one ran before if that is told; it is ended, its data stay."""
        chosen = {**BASE, "store.url": self.store_url, **(options or {})}
        context = None
        if tls:
            certificate, key = self._certificate()
            chosen |= {"http.tls_certificate": str(certificate), "http.tls_key": str(key)}
            context = trusting(str(certificate))
        port = urlsplit(url).port or 0
        with local_central(self.data, chosen, port=port) as central:
            yield Act(central, context, self.server)

    @contextmanager
    def beside(self, act: Act, roles: str) -> Generator[str]:
        """Run another process on the store of one that leads; yield its URL once it answers."""
        with socket.create_server(("127.0.0.1", 0)) as found:
            port = found.getsockname()[1]
        chosen = {**BASE, "store.url": self.store_url, "process.roles": roles}
        words = [word for name, value in chosen.items() for word in ("--set", f"{name}={value}")]
        with (self.folder / f"beside-{port}.log").open("ab") as out:
            process = subprocess.Popen(
                [
                    *tied(),
                    *(sys.executable, "-m", "pilotage.central.cli", "serve"),
                    *("--data", str(act.central.data), "--port", str(port), *words),
                ],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        url = f"http://127.0.0.1:{port}"
        try:
            _answered(url)
            yield url
        finally:
            end(process)

    def _certificate(self) -> tuple[Path, Path]:
        """Return a certificate of our own and its key."""
        certificate, key = self.folder / "server.pem", self.folder / "server.key"
        if not certificate.exists():
            words = [*_REQUEST, "-out", str(certificate), "-keyout", str(key)]
            subprocess.run(words, check=True, capture_output=True, timeout=30)
        return certificate, key


@contextmanager
def stage(server: Server | None = None) -> Generator[Stage]:
    """Make a stage in a temporary folder, its store in a file there or in a schema of a server.

    Everything is gone afterwards.
    """
    folder = Path(tempfile.mkdtemp(prefix="pilotage-load-"))
    try:
        if server is None:
            yield Stage(folder)
        else:
            with server.schema() as url:
                yield Stage(folder, server, url)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _answered(url: str) -> None:
    """Return when a process answers how it is. Raises httpx.HTTPError if it does not in time."""
    until = time.monotonic() + START_S
    while True:
        try:
            httpx.get(f"{url}/health", trust_env=False).raise_for_status()
        except httpx.HTTPError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return


def play(work: Coroutine[Any, Any, T]) -> T:
    """Run the load generator's side on its own event loop."""

    async def whole() -> T:
        try:
            return await work
        finally:
            await cut_all()

    return uvloop.run(whole())
