"""The requirements of commands of the central: packages of an extra, and Python 3.11."""

import platform
import re
import sys
from importlib import metadata
from typing import Final

from .exit_codes import UsageError

EXTRA: Final = "central"
OLDEST: Final = (3, 11)  # of a central; its client runs on 3.10
_MARKED: Final = re.compile(rf"""([\w.-]+).*;.*\bextra == ['"]{EXTRA}['"]""")


def check_central(command: str) -> None:
    """Raise UsageError if Python is too old, or a package of the extra `central` is missing.

    `command` is the word after `pilotage`, for the message.
    """
    if sys.version_info < OLDEST:
        oldest, found = ".".join(map(str, OLDEST)), platform.python_version()
        raise UsageError(
            f"pilotage {command} needs Python {oldest} or newer; this is Python {found}"
        )
    if any(map(_is_missing, _packages())):
        raise UsageError(
            f"pilotage {command} needs the central's packages: pip install '.[{EXTRA}]' in a clone"
        )


def _packages() -> list[str]:
    """Return the names in the extra. The list is empty if the sources are not installed."""
    try:
        requirements = metadata.requires("pilotage") or []
    except metadata.PackageNotFoundError:
        return []
    return [found[1] for line in requirements if (found := _MARKED.match(line))]


def _is_missing(package: str) -> bool:
    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return True
    return False
