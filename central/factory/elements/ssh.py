"""Pilots on a machine behind SSH: started there, or passed to the batch system there.

All commands share one connection, which stays open for a minute, because a new login is slow. A
refused login is not repeated at once: OpenSSH blocks hosts that fail often.
"""

import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from pilotage.proto.decoding.patterns import whole

from ..commands import RemoteCommands
from ..drivers import Driver, ElementTraits, Tools, driver, element, kinds, read_options
from ..element import ComputeElement
from ..errors import BadOptions, NoSuchDriver
from .bare_hosts import BareHosts
from .option_types import LETTERS, Path as PlainPath

KEPT_S = 60
SOCKET_FOLDER_MAX = 45  # of 108 bytes; %C takes 40, and ssh adds 18 while it connects
_BARE = "none"
_PLAIN = re.compile(f"{LETTERS}*")


class SshOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of an element of kind `ssh`."""

    host: Annotated[str, Meta(pattern=whole("[A-Za-z0-9][A-Za-z0-9.:_-]*"), max_length=255)]
    user: Annotated[str, Meta(pattern=whole("[A-Za-z0-9_][A-Za-z0-9._-]*"), max_length=64)]
    key_file: PlainPath
    known_hosts: PlainPath  # file with the host's key
    port: Annotated[int, Meta(ge=1, le=65_535)] = 22
    folder: Annotated[str, Meta(pattern=whole(f"[A-Za-z0-9._/]{LETTERS}*"), max_length=1024)] = (
        ".pilotage"  # on the remote host
    )
    batch: str = _BARE  # driver of the remote batch system; none: pilots start at once
    batch_options: dict[str, Any] = {}
    timeout_s: Annotated[float, Meta(gt=0, le=600)] = 30.0  # of one command


def _sockets(folder: Path) -> Path:
    """Return a folder for the shared connection, short enough for a socket's name.

    The path has plain letters only, because ssh gives `%h`, quotes and spaces a meaning.
    """
    if len(os.fsencode(folder)) <= SOCKET_FOLDER_MAX and _PLAIN.fullmatch(str(folder)):
        return folder
    number = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    short = Path(tempfile.gettempdir()) / f"pilotage-{number}"
    short.mkdir(mode=0o700, exist_ok=True)
    found = short.lstat()
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) != 0o700:
        raise BadOptions(f"{short}: belongs to another user; remove it, or set TMPDIR")
    return short


def prefix(options: SshOptions, tools: Tools) -> tuple[str, ...]:
    """Return the words in front of a command that runs there."""
    settings: Mapping[str, str] = {
        "BatchMode": "yes",
        "ConnectTimeout": str(max(1, int(options.timeout_s / 2))),
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": options.known_hosts,
        "GlobalKnownHostsFile": "/dev/null",
        "IdentitiesOnly": "yes",
        "ServerAliveInterval": "5",
        "ServerAliveCountMax": "3",
        "ControlMaster": "auto",
        "ControlPath": f"{_sockets(tools.folder)}/%C",
        "ControlPersist": str(KEPT_S),
    }
    words = ["ssh", "-F", "/dev/null", "-T", "-a", "-x", "-i", options.key_file]
    for name, value in settings.items():
        words += ["-o", f"{name}={value}"]
    return (*words, "-p", str(options.port), "-l", options.user, "--", options.host)


def _make(options: SshOptions, tools: Tools) -> ComputeElement:
    commands = RemoteCommands(tools.commands, prefix(options, tools))
    if options.batch == _BARE:
        return BareHosts(commands, options.folder, timeout_s=options.timeout_s)
    return element(options.batch, options.batch_options, Tools(commands, tools.clock, tools.folder))


def _check(options: SshOptions) -> None:
    """Refuse a batch system whose programs cannot run behind SSH, and wrong options of it."""
    if options.batch == _BARE:
        return
    try:
        found = driver(options.batch)
    except NoSuchDriver:
        raise BadOptions(f"options.batch: {NoSuchDriver(options.batch, _fit()).why}") from None
    except BadOptions as why:
        raise BadOptions(f"options.batch: {str(why).removeprefix('kind: ')}") from None
    if found is DRIVER or not found.programs:
        raise BadOptions(
            f"options.batch: {options.batch!r} is not a batch system that can run"
            f" behind SSH; these can: {', '.join(_fit())}"
        )
    try:
        read_options(found, options.batch_options)
    except BadOptions as why:
        raise BadOptions(f"options.batch_options for {options.batch}: {why}") from None


def _check_use(options: SshOptions, use: ElementTraits) -> None:
    """Check the element for the batch system behind it. The login replaces the credential."""
    if options.batch != _BARE:
        found = driver(options.batch)
        found.check_use(read_options(found, options.batch_options), use)


def _fit() -> list[str]:
    """Return the kinds whose programs can run there."""
    return [one for one in kinds() if _is_fit(one)]


def _is_fit(kind: str) -> bool:
    try:
        found = driver(kind)
    except BadOptions:  # a broken driver of others
        return False
    return found is not DRIVER and bool(found.programs)


DRIVER = Driver(
    SshOptions,
    _make,
    programs=("ssh",),
    takes_credential=False,
    files=("key_file", "known_hosts"),
    check=_check,
    check_use=_check_use,
)
