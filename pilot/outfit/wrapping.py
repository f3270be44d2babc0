"""The wrapping of a payload's command, and the way of its environment through the wrapping.

A wrapper runs outside the isolation that it builds, as the pilot's user. So it starts with a clean
environment. The payload's environment, which may contain LD_PRELOAD and the like, comes through a
file descriptor.
"""

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional

from ..guard.held_payload import FEED_FD

# The first process of a PID namespace gets only signals that it handles, and must reap orphans: a
# shell does both for the payload. Its own messages ("Killed") must not appear in the payload's
# output.
INIT = f'. /dev/fd/{FEED_FD}; exec {FEED_FD}<&- 4>&2 2>/dev/null; "$@" 2>&4 4>&-; exit $?'
# Names that a shell reserves: an export of one ends the shell, or does not reach the payload.
_OF_THE_SHELL = frozenset(
    {
        *("_", "BASH", "BASHOPTS", "BASHPID", "COMP_WORDBREAKS", "DIRSTACK"),
        *("EPOCHREALTIME", "EPOCHSECONDS", "EUID", "FUNCNAME", "GROUPS", "HISTCMD"),
        *("IFS", "LINENO", "OLDPWD", "OPTARG", "OPTERR", "OPTIND"),
        *("PIPESTATUS", "POSIXLY_CORRECT", "PPID", "PS4", "PWD", "RANDOM"),
        *("SECONDS", "SHELLOPTS", "SHLVL", "SRANDOM", "UID"),
    }
)
_NAME = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")


@dataclass(frozen=True)
class Wrapping:
    """The wrapping of a payload's command: a prefix, and how each part gets its environment."""

    prefix: tuple[str, ...]
    environment: Mapping[str, str]  # for the start of the prefix, or without one, of the payload
    feed: str = ""  # read by the prefix from FEED_FD


def clean(marks: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for the start of a wrapper."""
    return {"PATH": os.environ.get("PATH", os.defpath), **marks}


def exports(environment: Mapping[str, str]) -> Optional[str]:
    """Return shell commands that export an environment; None if the shell cannot export a name."""
    if all(map(can_export, environment)):
        return exported(environment)
    return None


def exported(environment: Mapping[str, str]) -> str:
    """Return shell commands that export the possible part of an environment."""
    return "".join(
        f"export {name}={shlex.quote(value)}\n"
        for name, value in environment.items()
        if can_export(name)
    )


def can_export(name: str) -> bool:
    """Return whether a shell passes on a variable of this name."""
    return _is_name(name) and name not in _OF_THE_SHELL and not name.startswith("BASH_")


def _is_name(name: str) -> bool:
    return bool(name) and not name[0].isdigit() and _NAME.issuperset(name)


def tool(name: str) -> str:
    """Return the path of a command; its bare name if it is not found."""
    for folder in os.environ.get("PATH", os.defpath).split(":"):
        path = os.path.join(folder, name)
        if folder and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return name
