"""A real OpenID provider on loopback, for tests of logins and of outside tokens.

It is the npm package oidc-provider in a process of its own. Its claims imitate five kinds of
providers: `wlcg` (Indigo IAM), `iam` (Indigo IAM with its own profile), `keycloak`, `egi` (EGI
Check-in) and `cilogon`.
"""

import json
import os
import select
import subprocess
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import pytest

from tests.certificates import certificate_and_key

from . import packages

PROGRAM: Final = Path(__file__).with_name("provider.mjs")
PROFILES: Final = ("wlcg", "iam", "keycloak", "egi", "cilogon")
WEB: Final = "pilotage-web"  # confidential: people, refresh, device, exchange
CLI: Final = "pilotage-cli"  # public, with any loopback port
FACTORY: Final = "pilotage-factory"  # confidential: client credentials, exchange
RESOURCE: Final = "https://central.test"
ANSWER_S: Final = 20.0
LOG_SHOWN: Final = 4_000

Away = Literal["refuse", "hang", "error"]


@dataclass(frozen=True)
class Account:
    """A person at the provider. Any password is right."""

    groups: Sequence[str] = ()  # as "/ctao/prod"; each profile writes them in its own form
    roles: Sequence[str] = ()  # only `keycloak` has them, in realm_access
    name: str = ""
    email: str = ""
    email_verified: bool = True


USERS: Final[Mapping[str, Account]] = {
    "alice": Account(("/ctao", "/ctao/prod"), ("pilotage-manager",)),
    "bob": Account(("/ctao",)),
    "eve": Account(("/other",)),
}


class Request(NamedTuple):
    """A request that the provider got. `status` is 0 while it has no answer."""

    method: str
    path: str  # without the query: /jwks, /token, /device/auth, …
    status: int
    grant: str  # the grant_type of a token request
    client: str


class RunningProvider:
    """A provider. Keys, grants and the port outlive `stop` and `start`.

    `issuer` is its address, `ca_file` the authority of its certificate, and `clients` has the
    secret of each client, empty for the public one. Methods may be called from any thread.
    """

    def __init__(self, folder: Path, profile: str, options: Mapping[str, Any]) -> None:
        if lacks := packages.missing():
            pytest.skip(lacks)  # a failure in the gate
        folder.mkdir(parents=True, exist_ok=True)
        self.profile = profile
        self.clients = {WEB: "web-secret", CLI: "", FACTORY: "factory-secret"}
        self.ca_file = folder / "host.pem"
        certificate, key = certificate_and_key("localhost")
        self.ca_file.write_bytes(certificate)
        key_file = folder / "host.key"
        key_file.touch(mode=0o600)
        key_file.write_bytes(key)
        self._folder, self._settings = folder, {**options, "profile": profile, "port": 0}
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.RLock()
        self.start()
        self.issuer = f"https://localhost:{self._settings['port']}{options['path']}"

    def start(self) -> None:
        """Return once it answers, on the port and with the keys and grants that it had."""
        with self._lock:
            assert self._process is None, "it runs already"
            with (self._folder / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    [packages.NODE, PROGRAM],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    bufsize=0,
                )
            names = {"web": WEB, "cli": CLI, "factory": FACTORY}
            settings = {
                **self._settings,
                "modules": str(packages.installed()),
                "folder": str(self._folder),
                "clients": {
                    name: {"id": client, "secret": self.clients[client]}
                    for name, client in names.items()
                },
            }
            self._settings["port"] = self._ask(settings)["port"]

    def stop(self) -> None:
        """End it: connections are refused. It keeps its grants for the next `start`."""
        with self._lock:
            process, self._process = self._process, None
            if process is None:
                return
            assert process.stdin is not None and process.stdout is not None
            process.stdin.close()
            try:
                process.wait(ANSWER_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()

    def away(self, kind: Away = "refuse") -> None:
        """Refuse connections, leave requests without an answer, or answer each with 503."""
        self._ask({"command": "away", "kind": kind})

    def back(self) -> None:
        """End `away`. Requests that wait are cut off."""
        self._ask({"command": "away", "kind": ""})

    def rotate(self, *, withdraw: bool = False) -> None:
        """Sign with new keys from now on. It still publishes the old ones unless `withdraw`."""
        self._ask({"command": "rotate", "withdraw": withdraw})

    def set_users(self, users: Mapping[str, Account]) -> None:
        """Replace the people: the next login or refresh shows it."""
        self._change(users=_users(users))

    def set_redirects(self, *redirects: str) -> None:
        """Replace the addresses that logins of the confidential client may return to."""
        self._change(redirects=redirects)

    def set_access_s(self, access_s: int) -> None:
        """Change the life of access tokens that it will sign."""
        self._change(access_s=access_s)

    def mint(
        self, header: Mapping[str, Any] | None = None, claims: Mapping[str, Any] | None = None
    ) -> str:
        """Sign a token with any header and claims. None as a value takes a default away.

        The defaults are those of a valid access token without `sub` and `scope`.
        """
        token = self._ask({"command": "mint", "header": header or {}, "claims": claims or {}})
        return str(token)

    def subject(self, login: str) -> str:
        """Return the `sub` of a person. For some profiles it is not the login."""
        return str(self._ask({"command": "subject", "login": login}))

    def requests(self, path: str = "") -> list[Request]:
        """Return the requests since the last start, or those of one path, oldest first."""
        got = [Request(**one) for one in self._ask({"command": "requests"})]
        return [one for one in got if path in ("", one.path)]

    @property
    def log(self) -> str:
        """The end of what it has written to its log."""
        return (self._folder / "log").read_text(errors="replace")[-LOG_SHOWN:]

    def _change(self, **values: Any) -> None:
        with self._lock:
            self._settings.update(values)
            if self._process is not None:
                self._ask({"command": "change", "values": values})

    def _ask(self, message: Mapping[str, Any]) -> Any:
        """Send a line and return the answer to it. Fails with the log if there is none."""
        with self._lock:
            process = self._process
            assert process is not None, "the provider is stopped"
            assert process.stdin is not None and process.stdout is not None
            try:
                process.stdin.write(json.dumps(message).encode() + b"\n")
            except BrokenPipeError:
                raise AssertionError(f"the provider has ended: {self.log}") from None
            said, until = b"", time.monotonic() + ANSWER_S
            while not said.endswith(b"\n"):
                left = until - time.monotonic()
                ready, _, _ = select.select([process.stdout], [], [], max(0.0, left))
                assert ready, f"the provider does not answer: {self.log}"
                more = os.read(process.stdout.fileno(), 1 << 16)
                assert more, f"the provider has ended: {self.log}"
                said += more
            return json.loads(said)


def _users(users: Mapping[str, Account]) -> dict[str, dict[str, Any]]:
    """Return people as the provider knows them, with a name and an address for each."""
    return {
        login: {
            **asdict(one),
            "name": one.name or login.title(),
            "email": one.email or f"{login}@example.org",
        }
        for login, one in users.items()
    }


@contextmanager
def running_provider(
    folder: Path,
    profile: str = "wlcg",
    *,
    redirects: Sequence[str] = ("http://127.0.0.1:8470/auth/callback",),
    users: Mapping[str, Account] = USERS,
    access_s: int = 3600,
    resource: str = RESOURCE,
    interval_s: int = 1,
    rotates: bool = True,
    path: str = "",
) -> Generator[RunningProvider]:
    """Run a provider on a free port, with its files in `folder`, and end it.

    `access_s` is the life of access tokens, and `resource` their audience if the client names none.
    `interval_s` is the time between polls that it asks of devices. It rotates refresh tokens if
    `rotates`. `path` becomes part of the issuer, as in https://localhost:8443/realms/test.
    """
    assert profile in PROFILES, f"profile {profile!r} is none of {PROFILES}"
    options = {
        "redirects": redirects,
        "users": _users(users),
        "access_s": access_s,
        "resource": resource,
        "interval_s": interval_s,
        "rotates": rotates,
        "path": path,
    }
    provider = RunningProvider(folder, profile, options)
    try:
        yield provider
    finally:
        provider.stop()
