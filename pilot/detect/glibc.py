"""The C library of the node."""

import os
import re
from pathlib import Path

from .finding import SourcedValue
from .small_files import data
from .surroundings import Surroundings

_FOLDERS = (
    "/lib64",
    "/usr/lib64",
    "/lib/{architecture}-linux-gnu",
    "/usr/lib/{architecture}-linux-gnu",
    "/lib",
    "/usr/lib",
)
_SAYS = re.compile(rb"GNU C Library [^\n]{0,120}version ([0-9]{1,3}[.][0-9]{1,3})")
_BEFORE_2_34 = re.compile(r"libc-([0-9]{1,3}[.][0-9]{1,3})(?:[.][0-9]+)?[.]so")
_LIBRARY_MAX = 16 << 20


def glibc(around: Surroundings) -> SourcedValue[str]:
    """Return the version of glibc; empty if it is another library or unknown."""
    for pattern in _FOLDERS:
        folder = pattern.format(architecture=around.architecture)
        path = f"{folder}/libc.so.6"
        said = _SAYS.search(data(around.file(path), _LIBRARY_MAX))
        if said:
            return SourcedValue(said.group(1).decode("ascii"), path)
        for name in _names(around, folder):
            old = _BEFORE_2_34.fullmatch(name)
            if old:
                return SourcedValue(old.group(1), f"{folder}/{name}")
    if around.root == Path("/"):
        return _of_this_python()
    return SourcedValue("", "", ("no libc.so.6 was found",))


def _names(around: Surroundings, folder: str) -> list[str]:
    try:
        return sorted(one for one in os.listdir(around.file(folder)) if one.startswith("libc-"))
    except (OSError, ValueError):
        return []


def _of_this_python() -> SourcedValue[str]:
    try:
        said = (os.confstr("CS_GNU_LIBC_VERSION") or "").rpartition(" ")[2]
    except (ValueError, OSError):
        said = ""
    if re.fullmatch(r"[0-9]{1,3}[.][0-9]{1,3}", said):
        return SourcedValue(said, "the C library of this Python")
    return SourcedValue("", "", ("this Python has another C library",))
