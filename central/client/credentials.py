"""The URL of the central, and the token for it.

URL: argument, `PILOTAGE_URL`, the central that runs on the data directory `PILOTAGE_DATA`, the
central of the last login, `url` in credentials.json, else the central that runs on the default data
directory (`<data>/central.json`). Token: argument, the file that `PILOTAGE_TOKEN_FILE` names, the
login at this central, credentials.json, else the local central's `admin.token`. A saved token is
sent only to the central that it was saved for.
"""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from .errors import (
    NoCentral,
    NoneRuns,
    UnreadableCredentials,
    UnsafeCredentials,
    UnsafeLogins,
)

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")  # of RFC 6750
LOGINS = "centrals"  # folder of the files of logins
LATEST = "latest"  # a file in it: the URL of the last login, also after its logout
_LONGEST = 65_536  # bytes of a file with a token
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class CredentialsFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of `~/.config/pilotage/credentials.json`, and of the file of a login."""

    url: str = ""
    token: str = ""
    expires_at: float = 0.0  # of the token of a login, in seconds since 1970
    renewal: str = ""  # renews a login, once
    nonce: str = ""  # of a renewal that has begun


class CentralFile(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `<data>/central.json`, written by `pilotage serve` while it runs."""

    url: str
    pid: int


@dataclass(frozen=True)
class CentralLogin:
    """The URL of a central and the token for it; an empty token if there is none."""

    url: str
    token: str
    ca_file: str = ""
    login: Path | None = None  # the file of a login, which gives the token instead


def data_folder(environment: Mapping[str, str]) -> Path:
    """Return the data directory of the local central."""
    given = environment.get("PILOTAGE_DATA")
    return Path(given) if given else _home(environment) / ".local/share/pilotage"


def config_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder of the user's tokens and logins."""
    config = environment.get("XDG_CONFIG_HOME")
    folder = Path(config) if config else _home(environment) / ".config"
    return folder / "pilotage"


def credentials_file(environment: Mapping[str, str]) -> Path:
    """Return the path of the file with the URL and the token of the user."""
    return config_folder(environment) / "credentials.json"


def login_file(environment: Mapping[str, str], url: str) -> Path:
    """Return the file of the login at a central, which may not exist."""
    scheme, host, port = _place(url)
    name = f"{host.replace(':', '-')}_{port}.json" if scheme else "none.json"
    return config_folder(environment) / LOGINS / name


def check_logins(environment: Mapping[str, str]) -> Path:
    """Return the folder of logins, which may be missing. Raises UnsafeLogins.

    Another user who can write to it could exchange a login, or the name of the default central.
    """
    logins = config_folder(environment) / LOGINS
    if os.path.lexists(logins):
        _check_folder(logins, forbidden=0o022)
        _check_folder(logins.parent, forbidden=0o002)  # there it could be renamed
    return logins


def _check_folder(folder: Path, *, forbidden: int) -> None:
    try:
        found = folder.stat()
    except OSError as why:
        raise UnreadableCredentials(str(folder), why.strerror or "unreadable") from None
    mode = stat.S_IMODE(found.st_mode)
    is_sticky = bool(mode & stat.S_ISVTX) and folder.name != LOGINS  # others rename nothing of ours
    if found.st_uid not in (os.geteuid(), 0):
        raise UnsafeLogins(str(folder), f"belongs to the user with id {found.st_uid}")
    if mode & forbidden and not is_sticky:
        raise UnsafeLogins(str(folder), f"has mode {mode:04o}")


def find_connection(
    environment: Mapping[str, str],
    *,
    url: str | None = None,
    token: str | None = None,
    data: Path | None = None,
) -> CentralLogin:
    """Return the central and the token.

    Raises NoCentral, UnreadableCredentials, UnsafeCredentials, UnsafeLogins.

    A data directory means the central that runs on it. The argument overrides the environment and
    credentials.json; `PILOTAGE_DATA` overrides `url` in credentials.json.
    """
    folder = data or data_folder(environment)
    kept = CredentialsFile() if data else read_credentials(credentials_file(environment))
    running = running_central(folder)
    latest = "" if data else _latest(environment)
    target = url or (None if data else environment.get("PILOTAGE_URL"))
    if not target and not data and not environment.get("PILOTAGE_DATA"):
        target = latest or kept.url
    if not target:
        if running is None:
            raise _none_runs(environment, folder, latest or kept.url, is_given=data is not None)
        target = running.url
    known = (latest, kept.url, running.url if running else "")
    target = _as_known(_checked_url(target), *known)
    ca_file, login = environment.get("PILOTAGE_CA_FILE", ""), login_file(environment, target)
    if token or environment.get("PILOTAGE_TOKEN_FILE"):
        token = token or _named_token(environment["PILOTAGE_TOKEN_FILE"], target)
    elif not data and _same(read_credentials(login).url, target):
        return CentralLogin(target, read_credentials(login).token, ca_file, login)
    else:
        token = _found_token(target, kept, running, folder)
    return CentralLogin(target, token, ca_file)


def running_central(folder: Path) -> CentralFile | None:
    """Return the central that runs on this data directory; None if none does.

    A process of another user with this pid is not the central: systems reuse pids and ports, and
    the token must not go to another program.
    """
    try:
        content = (folder / "central.json").read_bytes()
    except OSError:
        return None
    try:
        running = msgspec.json.decode(content, type=CentralFile)
    except msgspec.DecodeError as why:
        raise UnreadableCredentials(str(folder / "central.json"), str(why)) from None
    return running if _alive(running.pid) else None


def read_secret(path: Path, *, may_be_pipe: bool = False) -> bytes:
    """Return the content of a secret file.

    A named pipe would wait for its writer, so only `may_be_pipe` reads from one. Raises
    UnsafeCredentials if others may read the file, UnreadableCredentials.
    """
    waits = 0 if may_be_pipe else os.O_NONBLOCK
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | waits), "rb") as stream:
            found = os.fstat(stream.fileno()).st_mode
            if not stat.S_ISREG(found) and not (may_be_pipe and stat.S_ISFIFO(found)):
                raise UnreadableCredentials(str(path), "it is not a regular file: remove it")
            if stat.S_IMODE(found) & 0o077:
                raise UnsafeCredentials(str(path), stat.S_IMODE(found))
            return stream.read(_LONGEST)
    except OSError as why:
        raise UnreadableCredentials(str(path), why.strerror or "unreadable") from None


def other_logins(environment: Mapping[str, str], url: str = "") -> str:
    """Return where the user is logged in, except at `url`, or has logged out; empty if nowhere.

    Raises UnreadableCredentials, UnsafeCredentials, UnsafeLogins.
    """
    files = sorted(check_logins(environment).glob("*.json"))
    found = [one for one in (read_credentials(file).url for file in files) if one]
    others = [one for one in found if not _same(one, url)]
    if others:
        return f"you are logged in at {', '.join(others)}: choose it with --url"
    left = "" if found else _last_login(environment)
    return f"you have logged out from {left}: `pilotage login {left}` logs in again" if left else ""


def _latest(environment: Mapping[str, str]) -> str:
    """Return the URL of the last login, or an empty text after its logout.

    Raises UnsafeLogins and others.
    """
    url = _last_login(environment)
    return url if url and login_file(environment, url).exists() else ""


def _last_login(environment: Mapping[str, str]) -> str:
    file = check_logins(environment) / LATEST
    if not file.exists():
        return ""
    latest = read_secret(file).decode(errors="replace").strip()
    return latest if _is_url(latest) else ""


def _named_token(named: str, target: str) -> str:
    """Return the token in the file that `PILOTAGE_TOKEN_FILE` names."""
    secret = read_secret(Path(named), may_be_pipe=True).strip()  # `<(oidc-token NAME)` is one
    if secret.startswith(b"{"):
        return _saved_token(named, target)
    return _checked_token(named, secret.decode(errors="replace"))


def _found_token(
    target: str, kept: CredentialsFile, running: CentralFile | None, folder: Path
) -> str:
    if kept.token and _same(kept.url, target):
        return kept.token
    local = folder / "admin.token"
    if running and _same(running.url, target) and local.exists():
        return _checked_token(str(local), read_secret(local).decode(errors="replace").strip())
    return ""


def _saved_token(named: str, target: str) -> str:
    """Return the token of a credentials file. It is only for the central in this file."""
    saved = read_credentials(Path(named))
    if not _same(saved.url, target):
        raise UnreadableCredentials(named, f"its token is for {saved.url}, not for {target}")
    if not saved.token:
        raise UnreadableCredentials(named, "`token` is missing")
    return saved.token


def _checked_token(path: str, token: str) -> str:
    """Return the token if a header can hold it. Errors do not show it."""
    if not _TOKEN.fullmatch(token):
        why = "it has no token: expected one word of letters, digits, `-`, `_` and `.`"
        raise UnreadableCredentials(path, why)
    return token


def read_credentials(path: Path) -> CredentialsFile:
    """Return the content of a file with a token; empty if there is no file.

    Raises UnreadableCredentials, UnsafeCredentials.
    """
    if not path.exists():
        return CredentialsFile()
    try:
        kept = msgspec.json.decode(read_secret(path), type=CredentialsFile)
    except msgspec.DecodeError as why:
        raise UnreadableCredentials(str(path), str(why)) from None
    if kept.token and not kept.url:
        raise UnreadableCredentials(str(path), "`url` is missing: the central of this token")
    if kept.url and not _is_url(kept.url):
        raise UnreadableCredentials(str(path), f"`url`: {kept.url!r} is not the URL of a central")
    if kept.token:
        _checked_token(str(path), kept.token)
    return kept


def _checked_url(url: str) -> str:
    if not _is_url(url):
        raise NoCentral(
            f"{url!r} is not the URL of a central: expected https://HOST or http://HOST:PORT"
        )
    return url.rstrip("/")


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a wrong port, or wrong brackets
        return False


def _as_known(target: str, *known: str) -> str:
    """Return the known URL of this central, if one of the two URLs has the host `localhost`.

    For users these are the same place. For the system, `localhost` may be ::1 or 127.0.0.1, and
    another user may listen on the other address. So the token goes only to its saved address.
    """
    scheme, host, port = _place(target)
    for url in filter(None, known):
        its_scheme, its_host, its_port = _place(url)
        one_is_a_name = "localhost" in (host, its_host)
        if (its_scheme, its_port) == (scheme, port) and one_is_a_name:
            if host in _LOOPBACK and its_host in _LOOPBACK:
                return url.rstrip("/")
    return target


def _same(one: str, other: str) -> bool:
    # Compare names, not addresses: localhost may be ::1, and another user may listen there.
    return _place(one) == _place(other)


def _place(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return (
        parts.scheme,
        parts.hostname or "",
        parts.port or (443 if parts.scheme == "https" else 80),
    )


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _home(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("HOME") or Path.home())


def _comes_soon(folder: Path) -> bool:
    """Return whether a central is starting or stands by on this data directory: it locks a file."""
    try:
        import fcntl  # missing on systems that run no central

        with (folder / "standby").open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (ImportError, OSError):
        return False
    return False


def _none_runs(
    environment: Mapping[str, str], folder: Path, passed_over: str, *, is_given: bool
) -> NoneRuns:
    """Return the error for no central. `is_given`: --data names the folder."""
    if _comes_soon(folder):
        return NoneRuns(
            f"the central for the data directory {folder} is still starting: try again in a few"
            " seconds; if it does not answer then, read its log",
            soon=True,
        )
    none = f"no central is running for the data directory {folder}"
    is_named = is_given or bool(environment.get("PILOTAGE_DATA"))
    if not is_named and (logins := other_logins(environment)):
        return NoneRuns(f"{logins}; {none}")
    if passed_over:
        other = f"or unset PILOTAGE_DATA to use {passed_over}"
    else:
        other = (
            "or save the file that your operator gave you as ~/.config/pilotage/credentials.json"
        )
    return NoneRuns(
        f"{none}: start one with `pilotage serve`,"
        f" log in at another with `pilotage login URL`, name it with --url or PILOTAGE_URL, {other}"
    )
