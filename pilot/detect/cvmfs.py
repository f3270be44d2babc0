"""The available CVMFS repositories."""

import re
from collections.abc import Sequence

from .finding import SourcedValue
from .mounts import mounts
from .small_files import text
from .surroundings import Surroundings

REPOSITORIES_MAX = 64  # maximum of a message
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,100}")
_CONFIGURED = re.compile(r"^\s*CVMFS_REPOSITORIES=([\"']?)([A-Za-z0-9.,_ -]{0,4000})\1", re.M)
_FILES = ("/etc/cvmfs/default.local", "/etc/cvmfs/default.conf")
_TABLE = "/proc/self/mounts"


def repositories(around: Surroundings, wanted: Sequence[str] = ()) -> SourcedValue[tuple[str, ...]]:
    """Return the names of the repositories below /cvmfs that are mounted or can be mounted.

    If autofs mounts repositories on use, the configured ones and the `wanted` ones are accessed
    once, by a separate command, because a hanging mount could hang the pilot.
    """
    table = mounts(around)
    names = {one.point[len("/cvmfs/") :] for one in table if one.point.startswith("/cvmfs/")}
    mounted = {name for name in names if _NAME.fullmatch(name)}
    asked: set[str] = set()
    if any(one.point == "/cvmfs" for one in table) or wanted:
        asked = {*_configured(around), *wanted} - mounted
    opened = _opened(around, sorted(asked)[:REPOSITORIES_MAX]) if asked else set[str]()
    missing = sorted(asked - opened)
    found = tuple(sorted(mounted | opened)[:REPOSITORIES_MAX])
    sources = [_TABLE] * bool(table) + ["mounted when used"] * bool(opened)
    notes = (f"unavailable: {', '.join(missing)}",) if missing else ()
    return SourcedValue(found, " and ".join(sources), notes)


def _configured(around: Surroundings) -> set[str]:
    for path in _FILES:
        found = _CONFIGURED.search(text(around.file(path)))
        if found:
            words = re.split(r"[, ]+", found.group(2))
            return {word for word in words if "." in word and _NAME.fullmatch(word)}
    return set()


def _opened(around: Surroundings, names: Sequence[str]) -> set[str]:
    """Return those of `names` whose folder can be opened. `|| true`: others may be missing."""
    said = around.run(
        ("/bin/sh", "-c", 'for one; do stat -c %n "$one/."; done; true', "look")
        + tuple(f"/cvmfs/{name}" for name in names)
    )
    lines = (line.strip() for line in said.splitlines())
    return {line[len("/cvmfs/") : -len("/.")] for line in lines if line.endswith("/.")} & set(names)
