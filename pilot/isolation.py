"""The rungs of the isolation ladder: which works on this node, and how a payload is put into it.

    bubblewrap  own PID namespace, the pilot's folders hidden; dies with the guard
    unshare     own user and PID namespace (util-linux); dies with the guard
    session     own session only; orphans come to the guard, and outlive it when it is killed

A wrapper runs outside of what it builds, as the pilot's user. So it starts with a clean
environment, and the payload's own, which may hold LD_PRELOAD and the like, comes through a file
descriptor.
"""

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .held import FEED_FD

BUBBLEWRAP, UNSHARE, SESSION = "bubblewrap", "unshare", "session"
LADDER = (BUBBLEWRAP, UNSHARE, SESSION)  # best first
PROBE_PATIENCE_S = 10.0

# The first process of a PID namespace gets no signal that it does not handle, and must reap
# orphans: a shell does both for the payload. Its own words ("Killed") are not the payload's.
_INIT = f'. /dev/fd/{FEED_FD}; exec {FEED_FD}<&- 4>&2 2>/dev/null; "$@" 2>&4 4>&-; exit $?'
# Names that a shell keeps to itself: an export of them ends it.
_OF_THE_SHELL = frozenset({"BASHOPTS", "BASH_VERSINFO", "EUID", "PPID", "SHELLOPTS", "UID"})
_NAME = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")


@dataclass(frozen=True)
class Wrapping:
    """What stands around a payload's command: a prefix, and who gets the environment how."""

    prefix: tuple[str, ...]
    environment: Mapping[str, str]  # what the prefix, or else the payload, is started with
    feed: str = ""  # what the prefix reads from FEED_FD


def wrap(
    rung: str,
    environment: Mapping[str, str],
    *,
    marks: Mapping[str, str],
    folders: Sequence[Path] = (),
    hidden: Sequence[Path] = (),
) -> Wrapping:
    """Return how a command is started on `rung` with `environment`.

    `marks` also stand in the environment of the wrapper, so that its processes are known. `hidden`
    folders look empty to the payload but for its own `folders`, where the rung can do that.
    """
    if rung == SESSION:
        return Wrapping((), {**environment, **marks})
    clean = {"PATH": os.environ.get("PATH", os.defpath), **marks}
    whole = {**environment, **marks}
    if rung == BUBBLEWRAP:
        return Wrapping(
            (_tool("bwrap"), "--args", str(FEED_FD), "--"),
            clean,
            "".join(word + "\0" for word in _bubblewrap(whole, folders, hidden)),
        )
    return Wrapping(
        (
            *(_tool("setpriv"), "--pdeathsig", "KILL", "--"),
            *(_tool("unshare"), "--user", _map_option(), "--pid", "--fork", "--kill-child"),
            *("--mount-proc", "--", "/bin/sh", "-c", _INIT, "payload"),
        ),
        clean,
        _exports(whole),
    )


def best_rung(ladder: Sequence[str] = LADDER) -> str:
    """Return the first rung of `ladder` on which a small command does what it should here."""
    return next((rung for rung in ladder if works(rung)), SESSION)


def works(rung: str) -> bool:
    """Whether a command on `rung` has its environment and PID namespace, and gives its code."""
    if rung == SESSION:
        return True
    wrapping = wrap(rung, {"PROBE": "it's"}, marks={"PILOTAGE_ATTEMPT": "0"})
    test = 'test "$PROBE" = "it\'s" && test $$ -lt 10 && exit 7'
    hand_over = f'exec "$@" {FEED_FD}<&0 </dev/null'
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", hand_over, "probe", *wrapping.prefix, "/bin/sh", "-c", test],
            env=dict(wrapping.environment),
            input=os.fsencode(wrapping.feed),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=PROBE_PATIENCE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 7


def _tool(name: str) -> str:
    return shutil.which(name) or name


def _map_option() -> str:
    # Without the right to map itself by name, root is the only user that util-linux < 2.37 maps.
    return "--map-root-user" if os.geteuid() == 0 else "--map-current-user"


def _bubblewrap(
    environment: Mapping[str, str], folders: Sequence[Path], hidden: Sequence[Path]
) -> list[str]:
    words = ["--die-with-parent", "--unshare-pid", "--bind", "/", "/", "--dev-bind", "/dev", "/dev"]
    words += ["--proc", "/proc"]
    for folder in hidden:
        words += ["--tmpfs", str(folder)]
    for folder in folders:
        words += ["--bind", str(folder), str(folder)]
    if folders:
        words += ["--chdir", str(folders[0])]
    for name, value in environment.items():
        words += ["--setenv", name, value]
    return words


def _exports(environment: Mapping[str, str]) -> str:
    return "".join(
        f"export {name}={shlex.quote(value)}\n"
        for name, value in environment.items()
        if _is_name(name) and name not in _OF_THE_SHELL
    )


def _is_name(name: str) -> bool:
    return bool(name) and not name[0].isdigit() and _NAME.issuperset(name)
