"""The packages that only commands of the central need: an extra of the distribution."""

import re
from importlib import metadata
from typing import Final

from .exit_codes import UsageError

EXTRA: Final = "central"
_MARKED: Final = re.compile(rf"""([\w.-]+).*;.*\bextra == ['"]{EXTRA}['"]""")


def check_central(command: str) -> None:
    """Raise UsageError if a package of the extra `central` is not installed.

    `command` is the word after `pilotage`, for the message.
    """
    if any(map(_is_missing, _packages())):
        raise UsageError(
            f"pilotage {command} needs the central's packages: pip install 'pilotage[{EXTRA}]'"
        )


def _packages() -> list[str]:
    """Return the names in the extra. It is empty for sources that nobody installed."""
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
