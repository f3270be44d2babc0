"""A real Rucio server on loopback, with a PostgreSQL of its own.

Its environment is made by `deploy/make-rucio-venv`. It has the account `root`, and takes tokens of
that account alone. Its first tables take some seconds, so it is started once for many cases.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pilotage.central.operate.servers.postgresql import USER as DATABASE_USER

from . import postgresql
from .folders import quick
from .ports import free_ports

ROOT: Final = Path(__file__).resolve().parents[2]
PYTHON: Final = ROOT / ".venv-rucio" / "bin" / "python"
START_S: Final = 120.0
USER, PASSWORD = "ddmlab", "secret"

_ALEMBIC: Final = """
[alembic]
script_location = {package}/db/sqla/migrate_repo/
sqlalchemy.url = {database}
[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = generic
[logger_root]
level = WARN
handlers = console
qualname =
[handler_console]
class = StreamHandler
args = (sys.stderr,)
level = NOTSET
formatter = generic
[formatter_generic]
format = %(message)s
"""
_CONFIG: Final = """
[common]
logdir = {folder}
loglevel = INFO
[client]
rucio_host = {url}
auth_host = {url}
auth_type = userpass
username = ddmlab
password = secret
account = root
[database]
default = {database}
pool_recycle = 3600
echo = 0
[bootstrap]
userpass_identity = ddmlab
userpass_pwd = secret
userpass_email = a@example.org
[policy]
permission = generic
schema = generic
lfn2pfn_algorithm_default = identity
support = nobody
[api]
endpoints = accountlimits, accounts, archives, auth, config, credentials, dids, dirac, heartbeats, \
identities, lifetime_exceptions, locks, meta_conventions, ping, replicas, requests, rses, rules, \
scopes, subscriptions
[alembic]
cfg = {folder}/etc/alembic.ini
"""
_EVENTS: Final = """
[hermes]
services_list = activemq
[messaging-hermes]
brokers = {host}
port = {port}
nonssl_port = {port}
broker_virtual_host = {virtual_host}
use_ssl = False
destination = {destination}
username =
password =
voname = test
broker_timeout = 3
"""
_ERASE: Final = """
import sys
from rucio.common.types import InternalScope
from rucio.core.replica import delete_replicas
from rucio.core.rse import get_rse_id
scope, name, rse = sys.argv[1:]
delete_replicas(get_rse_id(rse), [{"scope": InternalScope(scope), "name": name}])
"""
_IMPLEMENTATIONS: Final = {"davs": "webdav", "root": "xrootd"}
_BUILD: Final = (
    "from rucio.db.sqla.util import build_database, create_base_vo, create_root_account as root\n"
    "build_database(); create_base_vo(); root()"
)


def missing() -> str:
    """Return what must be installed before a server can start, or an empty string."""
    if not PYTHON.exists():
        return "Rucio (make rucio)"
    return postgresql.missing()


class RucioRefusal(Exception):
    """The server refused a request."""


@dataclass
class RucioServer:
    """A server. Its requests are those of the account `root`."""

    folder: Path
    port: int
    database: str
    token: str = ""
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables for Rucio's own programs."""
        own = {"RUCIO_HOME": str(self.folder), "RUCIO_CONFIG": str(self._config)}
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), **own}

    @property
    def _config(self) -> Path:
        return self.folder / "etc" / "rucio.cfg"

    @property
    def token_file(self) -> Path:
        """A file with a token of the server, as an operator's file names it."""
        return self.folder / "token"

    def make(self) -> None:
        """Write the configuration, and make the tables."""
        (self.folder / "etc").mkdir(parents=True)
        package = next((PYTHON.parents[1] / "lib").glob("python3*/site-packages/rucio"))
        given = {"folder": self.folder, "url": self.url, "database": self.database}
        alembic = _ALEMBIC.format(package=package, **given)
        (self.folder / "etc" / "alembic.ini").write_text(alembic)
        self._config.write_text(_CONFIG.format(**given))
        self.run("-c", _BUILD)

    def run(self, *words: str) -> str:
        """Run Python with Rucio, and return its output."""
        done = subprocess.run(
            [str(PYTHON), *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=START_S,
        )
        assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-4_000:]
        return done.stdout

    @contextmanager
    def broker(self) -> Generator[int]:
        """Run a broker of events on loopback, and yield its port."""
        (port,) = free_ports(1)
        with (self.folder / "broker.log").open("ab") as log:
            broker = subprocess.Popen(
                [str(PYTHON.with_name("coilmq")), "-b", "127.0.0.1", "-p", str(port)],
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        try:
            until = time.monotonic() + START_S
            while True:
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                assert time.monotonic() < until, "the broker does not start"
                time.sleep(0.1)
            yield port
        finally:
            broker.kill()
            broker.wait()

    def send_events(self, port: int, destination: str) -> None:
        """Send the events that have come up since the last call to the broker, each once."""
        config = self.folder / "etc" / "hermes.cfg"
        config.write_text(
            self._config.read_text()
            + _EVENTS.format(
                host="127.0.0.1",
                port=port,
                destination=destination,
                virtual_host=socket.getfqdn(),
            )
        )
        environment = {**self.environment, "RUCIO_CONFIG": str(config)}
        words = [str(PYTHON), str(PYTHON.with_name("rucio-hermes")), "--run-once"]
        subprocess.run(words, env=environment, capture_output=True, timeout=START_S, check=True)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        words = ["-m", "gunicorn", "--no-control-socket", "--workers", "2", "--timeout", "300"]
        words += ["--graceful-timeout", "3", "--bind", f"127.0.0.1:{self.port}"]
        words += ["rucio.web.rest.flaskapi.v1.main:application"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(PYTHON), *words],
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + START_S
        while not self._answers():
            assert self._process.poll() is None, self.log
            assert time.monotonic() < until, self.log
            time.sleep(0.2)
        self.token = self._login()
        self.token_file.write_text(self.token)
        self.token_file.chmod(0o600)

    def stop(self, *, how: int = signal.SIGTERM) -> None:
        """End it."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, how)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    @property
    def log(self) -> str:
        """The end of its log."""
        return (self.folder / "log").read_text(errors="replace")[-4_000:]

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.url}/ping", timeout=5).close()
        except OSError:
            return False
        return True

    def _login(self) -> str:
        headers = {"X-Rucio-Account": "root", "X-Rucio-Username": USER}
        headers["X-Rucio-Password"] = PASSWORD
        asked = urllib.request.Request(f"{self.url}/auth/userpass", headers=headers)
        with urllib.request.urlopen(asked, timeout=30) as reply:
            return str(reply.headers["X-Rucio-Auth-Token"])

    # -- requests --------------------------------------------------------------------------------

    def ask(self, method: str, path: str, body: object = None) -> list[Any]:
        """Return the JSON values of the lines of an answer. Raises RucioRefusal."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"X-Rucio-Auth-Token": self.token, "Content-Type": "application/json"}
        asked = urllib.request.Request(self.url + path, method=method, data=data, headers=headers)
        try:
            with urllib.request.urlopen(asked, timeout=60) as reply:
                text = reply.read().decode()
        except urllib.error.HTTPError as why:
            raise RucioRefusal(f"{method} {path}: {why.code}: {why.read()[:2_000]!r}") from None
        try:
            return [json.loads(line) for line in text.splitlines() if line]
        except ValueError:
            return [text]  # some answers are the word "Created"

    def add_scope(self, scope: str) -> None:
        self.ask("POST", f"/accounts/root/scopes/{scope}")

    def add_rse(self, rse: str, folder: Path) -> None:
        """Add a storage of files below a folder. Paths do not follow from names."""
        self.ask("POST", f"/rses/{rse}", {"deterministic": False})
        ranks = {"read": 1, "write": 1, "delete": 1}
        protocol = {
            "hostname": "localhost",
            "port": 0,
            "prefix": f"{folder}/",
            "impl": "rucio.rse.protocols.posix.Default",
            "domains": {"lan": ranks, "wan": {**ranks, "third_party_copy_read": 1}},
        }
        self.ask("POST", f"/rses/{rse}/protocols/file", protocol)

    def add_server(self, rse: str, scheme: str, port: int, prefix: str, host: str) -> None:
        """Add a storage on a server of this machine. Paths do not follow from names."""
        self.ask("POST", f"/rses/{rse}", {"deterministic": False})
        ranks = {"read": 1, "write": 1, "delete": 1}
        protocol = {
            "hostname": host,
            "port": port,
            "prefix": prefix,
            "impl": f"rucio.rse.protocols.{_IMPLEMENTATIONS[scheme]}.Default",
            "domains": {"lan": ranks, "wan": {**ranks, "third_party_copy_read": 1}},
        }
        self.ask("POST", f"/rses/{rse}/protocols/{scheme}", protocol)

    def set_rse(self, rse: str, **settings: object) -> None:
        self.ask("PUT", f"/rses/{rse}", settings)

    def add_files(self, rse: str, files: Sequence[Mapping[str, Any]]) -> None:
        """Add files with a copy each: scope, name, bytes, adler32, pfn, and meta of their own."""
        own = [{k: v for k, v in one.items() if k != "meta"} for one in files]
        self.ask("POST", "/replicas", {"rse": rse, "files": own})
        several = [
            {"scope": one["scope"], "name": one["name"], "meta": one["meta"]}
            for one in files
            if one.get("meta")
        ]
        if several:
            self.ask("POST", "/dids/bulkdidsmeta", {"dids": several})

    def add_dataset(
        self, scope: str, name: str, files: Sequence[str] = (), kind: str = "DATASET"
    ) -> None:
        """Add a dataset or a container with files or datasets of its scope."""
        self.ask("POST", f"/dids/{scope}/{name}", {"type": kind})
        self.attach(scope, name, files)

    def attach(self, scope: str, name: str, inside: Sequence[str]) -> None:
        if inside:
            dids = [{"scope": scope, "name": one} for one in inside]
            self.ask("POST", f"/dids/{scope}/{name}/dids", {"dids": dids})

    def erase(self, scope: str, name: str, rse: str) -> None:
        """Forget the only copy of a file, and so the file, as the server's daemons do."""
        self.run("-c", _ERASE, scope, name, rse)

    def close_dataset(self, scope: str, name: str) -> None:
        self.ask("PUT", f"/dids/{scope}/{name}/status", {"open": False})

    def open_dataset(self, scope: str, name: str) -> None:
        self.ask("PUT", f"/dids/{scope}/{name}/status", {"open": True})


@contextmanager
def rucio_server() -> Generator[RucioServer]:
    """Run a server, and end it."""
    folder = Path(tempfile.mkdtemp(prefix="pilotage-rucio-", dir=quick()))
    with postgresql.started("fsync=off", "shared_buffers=64MB") as database:
        where = f"postgresql+psycopg://{DATABASE_USER}@/postgres?host={database.folder}"
        server = RucioServer(folder, free_ports(1)[0], where)
        try:
            server.make()
            server.start()
            yield server
        finally:
            server.stop()
            shutil.rmtree(folder, ignore_errors=True)
