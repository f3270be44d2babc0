"""An HTCondor pool of one machine on loopback, whose schedd is reached like an HTCondor-CE.

It runs as root without systemd; its daemons become the user `condor` of the package. Jobs run as
the user OWNER, which is made when it is missing.
"""

import base64
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path

from .issuer import Issuer
from .keeper import Keeper
from .pages import on_page

READY_S = 40.0
OWNER = "pilotage-tests"
PROGRAMS = ("condor_master", "condor_submit", "condor_q", "condor_token_create")
_CONFIG = """\
RELEASE_DIR = /usr
LOCAL_DIR = {folder}
LOCAL_CONFIG_FILE =
REQUIRE_LOCAL_CONFIG_FILE = false
LOCAL_CONFIG_DIR =
LIB = /usr/lib/condor
LIBEXEC = /usr/libexec/condor
SHARE = /usr/share/condor
BIN = /usr/bin
SBIN = /usr/sbin
ETC = {folder}
RUN = {folder}/run
LOG = {folder}/log
LOCK = {folder}/lock
SPOOL = {folder}/spool
EXECUTE = {folder}/execute
SEC_PASSWORD_DIRECTORY = {folder}/passwords.d
SEC_TOKEN_POOL_SIGNING_KEY_FILE = {folder}/passwords.d/POOL
SEC_TOKEN_SYSTEM_DIRECTORY = {folder}/tokens.d
SEC_CREDENTIAL_DIRECTORY_OAUTH = {folder}/cred
CONDOR_HOST = 127.0.0.1
COLLECTOR_HOST = 127.0.0.1:{port}
NETWORK_INTERFACE = 127.0.0.1
NETWORK_HOSTNAME = localhost
NO_DNS = False
ENABLE_IPV6 = False
BIND_ALL_INTERFACES = False
USE_SHARED_PORT = True
SHARED_PORT_PORT = {port}
DAEMON_SOCKET_DIR = auto
MASTER_ADDRESS_FILE = {folder}/log/.master_address
DAEMON_LIST = MASTER COLLECTOR SCHEDD NEGOTIATOR STARTD
UID_DOMAIN = local
TRUST_DOMAIN = local
TRUST_UID_DOMAIN = True
FILESYSTEM_DOMAIN = local
SEC_DEFAULT_AUTHENTICATION = REQUIRED
SEC_DEFAULT_AUTHENTICATION_METHODS = FS, IDTOKENS{more_methods}
SEC_CLIENT_AUTHENTICATION_METHODS = FS, IDTOKENS{more_methods}
ALLOW_READ = *
ALLOW_WRITE = *@local
ALLOW_ADMINISTRATOR = root@local, condor@local
ALLOW_DAEMON = root@local, condor@local
ALLOW_NEGOTIATOR = condor@local, root@local
QUEUE_SUPER_USERS = root, condor
SCHEDD_NAME = ce@localhost
NUM_CPUS = {cpus}
MEMORY = {memory}
NUM_SLOTS_TYPE_1 = 1
SLOT_TYPE_1 = 100%
SLOT_TYPE_1_PARTITIONABLE = True
START = True
SUSPEND = False
PREEMPT = False
KILL = False
DISCARD_SESSION_KEYRING_ON_STARTUP = False
CGROUP_MEMORY_LIMIT_POLICY = none
BASE_CGROUP =
STARTD_ENFORCE_DISK_LIMITS = False
RUNBENCHMARKS = False
NEGOTIATOR_INTERVAL = 2
NEGOTIATOR_CYCLE_DELAY = 1
NEGOTIATOR_MIN_INTERVAL = 1
SCHEDD_INTERVAL = 2
SHUTDOWN_FAST_TIMEOUT = 5
"""
PAGE = "docs/sites/htcondor.md"  # what an administrator writes so that it trusts an issuer
_BESIDE = """\
AUTH_SSL_CLIENT_CAFILE = {authority}/ca.pem
SEC_SCITOKENS_CACHE = {folder}/cache
"""
_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"  # of the machine: whom libcurl trusts


def missing() -> str:
    """Return what must be installed before it can start, or an empty string."""
    if os.geteuid() != 0:
        return "the right of root, as which HTCondor's daemons run here"
    absent = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    return f"{', '.join(absent)} (apt: htcondor)" if absent else ""


def _path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin"


def make_owner() -> None:
    """Make the user as which jobs run, if it is missing."""
    try:
        pwd.getpwnam(OWNER)
    except KeyError:
        subprocess.run(["useradd", "--create-home", OWNER], check=True, env={"PATH": _path()})


class Htcondor:
    """One pool."""

    def __init__(self, folder: Path, *, cpus: int = 8, issuer: Issuer | None = None) -> None:
        """Who has a token of `issuer`, and is pilotage-factory there, is the owner of jobs."""
        self.folder, self._cpus, self._issuer = folder, cpus, issuer
        self.config = folder / "condor_config"
        self._keeper: Keeper | None = None
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]

    @property
    def options(self) -> dict[str, object]:
        """Return what an element of kind `htcondor` with an IDTOKEN has to know of it."""
        return {
            "config": str(self.client_config),
            "pool": f"localhost:{self.port}",
            "schedd": "ce@localhost",
            "authentication": "IDTOKENS",
        }

    @property
    def options_with_tokens(self) -> dict[str, object]:
        """Return the same for tokens of the issuer."""
        assert self._issuer is not None
        return {
            **self.options,
            "authentication": "SCITOKENS",
            "ca_file": str(self._issuer.authority / "ca.pem"),
        }

    @property
    def audience(self) -> str:
        """Return whom tokens of the issuer must be for."""
        return f"localhost:{self.port}"

    @property
    def options_here(self) -> dict[str, object]:
        """Return the same for a schedd of this machine, to which its users are known."""
        folder = self.folder / "jobs"
        folder.mkdir(exist_ok=True)
        shutil.chown(folder, OWNER, OWNER)
        return {"config": str(self.config), "folder": str(folder)}

    @property
    def client_config(self) -> Path:
        """Return the configuration of a client that shares nothing with the pool but a token."""
        file = self.folder / "client_config"
        if not file.exists():
            # CONDOR_IDS: tests are root, and programs that authenticate by TLS as root go on with
            # files as the user condor.
            file.write_text(
                f"RELEASE_DIR = /usr\nLOCAL_DIR = {self.folder}/client\n"
                f"LOG = {self.folder}/client\n"
                f"CONDOR_HOST = localhost\nCOLLECTOR_HOST = localhost:{self.port}\n"
                "NETWORK_INTERFACE = 127.0.0.1\nENABLE_IPV6 = False\nUID_DOMAIN = elsewhere\n"
                "TRUST_DOMAIN = local\nSEC_DEFAULT_AUTHENTICATION = REQUIRED\n"
                "CONDOR_IDS = 0.0\n"
            )
            (self.folder / "client").mkdir(exist_ok=True)
        return file

    def token(self, lifetime_s: int = 3600) -> str:
        """Return an IDTOKEN of the owner of jobs."""
        identity = ("-identity", f"{OWNER}@local", "-lifetime", str(lifetime_s))
        return self._run("condor_token_create", *identity).strip()

    def start(self) -> None:
        """Start the daemons and wait until a slot is there."""
        self._keeper = Keeper()
        try:
            self._start(self._keeper)
        except BaseException:
            self.stop()
            raise

    def _start(self, keeper: Keeper) -> None:
        make_owner()
        self._make_folders()
        self.config.write_text(
            _CONFIG.format(
                folder=self.folder,
                port=self.port,
                cpus=self._cpus,
                memory=self._cpus * 1000,
                more_methods="" if self._issuer is None else ", SCITOKENS, SSL",
            )
        )
        start = ["condor_master", "-pidfile", str(self.folder / "run" / "master.pid")]
        if self._issuer is not None:
            start = [*self._trust(self._issuer), *start]
        done = keeper.run(start, self._environment, within_s=READY_S)
        assert done.code == 0, f"{' '.join(start)}: {done.err}"
        until = time.monotonic() + READY_S
        while time.monotonic() < until:
            if self._ready():
                return
            time.sleep(0.2)
        raise AssertionError(f"HTCondor does not start: {self.logs()}")

    def _trust(self, issuer: Issuer) -> list[str]:
        """Trust an issuer; return the words that make its authority one of the machine's.

        The daemons alone see it: they have a view of their own of the machine's files.
        """
        places = {
            "/etc/grid-security/hostcert.pem": str(issuer.authority / "host.pem"),
            "/etc/grid-security/hostkey.pem": str(issuer.authority / "host.key"),
            "/etc/condor/mapfile": str(self.folder / "mapfile"),
            "ce.example.org:9619": self.audience,
            "https://central.example.org:8470/elements": issuer.signer.name,
            "pilots@example.org": f"{OWNER}@local",
        }
        (self.folder / "mapfile").write_text(on_page(PAGE, "mapfile", places))
        (self.folder / "cache").mkdir(exist_ok=True)
        shutil.chown(self.folder / "cache", "condor", "condor")
        with self.config.open("a") as config:
            config.write(on_page(PAGE, "condor_config", places))
            config.write(_BESIDE.format(authority=issuer.authority, folder=self.folder))
        script = f'mount --bind "$0" {_AUTHORITIES} && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", script, str(issuer.authority / "ca.pem")]

    def _make_folders(self) -> None:
        self.folder.mkdir(mode=0o755, exist_ok=True)
        self.folder.chmod(0o755)
        for name in ("log", "spool", "execute", "run", "lock", "cred"):
            (self.folder / name).mkdir(exist_ok=True)
            shutil.chown(self.folder / name, "condor", "condor")
            (self.folder / name).chmod(0o755)
        for name in ("passwords.d", "tokens.d"):
            (self.folder / name).mkdir(mode=0o700, exist_ok=True)
        key = self.folder / "passwords.d" / "POOL"
        if not key.exists():
            key.touch(mode=0o600)
            key.write_bytes(base64.b64encode(secrets.token_bytes(64)))

    def _ready(self) -> bool:
        try:
            return bool(self._run("condor_status", "-af", "Name").strip()) and bool(
                self._run("condor_q", "-totals")
            )
        except AssertionError:
            return False

    @property
    def _environment(self) -> dict[str, str]:
        return {"PATH": _path(), "CONDOR_CONFIG": str(self.config)}

    def _run(self, *argv: str) -> str:
        done = subprocess.run(
            argv,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=READY_S,
        )
        assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
        return done.stdout

    def trust(self, issuer: str, subject: str, authority: bytes) -> None:
        """Let in whoever has a token of one more issuer, whose keys come by this authority."""
        assert self._issuer is not None
        with (self._issuer.authority / "ca.pem").open("ab") as known:
            known.write(authority)
        with (self.folder / "mapfile").open("a") as mapfile:
            mapfile.write(f"SCITOKENS {issuer},{subject} {OWNER}@local\n")
        self._run("condor_reconfig")

    def logs(self) -> str:
        """Return the ends of what its daemons have logged."""
        return "\n".join(one.read_text()[-3_000:] for one in self.folder.glob("log/*Log"))

    def stop(self) -> None:
        """End all of it."""
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None
