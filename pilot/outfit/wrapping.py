"""What stands around a payload's command, and how its environment gets past what stands there.

A wrapper runs outside of what it builds, as the pilot's user. So it starts with a clean
environment, and the payload's own, which may hold LD_PRELOAD and the like, comes through a file
descriptor.
"""

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional

from ..guard.held_payload import FEED_FD

# The first process of a PID namespace gets no signal that it does not handle, and must reap
# orphans: a shell does both for the payload. Its own words ("Killed") are not the payload's.
INIT = f'. /dev/fd/{FEED_FD}; exec {FEED_FD}<&- 4>&2 2>/dev/null; "$@" 2>&4 4>&-; exit $?'
# Names that a shell keeps to itself: an export of them ends it, or is not what the payload finds.
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
    """What stands around a payload's command: a prefix, and who gets the environment how."""

    prefix: tuple[str, ...]
    environment: Mapping[str, str]  # what the prefix, or else the payload, is started with
    feed: str = ""  # what the prefix reads from FEED_FD


def clean(marks: Mapping[str, str]) -> dict[str, str]:
    """Return the environment that a wrapper is started with."""
    return {"PATH": os.environ.get("PATH", os.defpath), **marks}


def exports(environment: Mapping[str, str]) -> Optional[str]:
    """Return a shell's words for an environment; None where a name is one that it cannot have."""
    if all(map(can_export, environment)):
        return exported(environment)
    return None


def exported(environment: Mapping[str, str]) -> str:
    """Return a shell's words for what of an environment it can have."""
    return "".join(
        f"export {name}={shlex.quote(value)}\n"
        for name, value in environment.items()
        if can_export(name)
    )


def can_export(name: str) -> bool:
    """Whether a shell passes on what it is given under this name."""
    return _is_name(name) and name not in _OF_THE_SHELL and not name.startswith("BASH_")


def _is_name(name: str) -> bool:
    return bool(name) and not name[0].isdigit() and _NAME.issuperset(name)


def tool(name: str) -> str:
    """Return where a command lies; its bare name where it does not."""
    for folder in os.environ.get("PATH", os.defpath).split(":"):
        path = os.path.join(folder, name)
        if folder and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return name
