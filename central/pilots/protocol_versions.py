"""The versions of the pilot protocol that a central serves. Pure.

It serves these minor versions of its own major version:

- its own and the one before it, so that pilots survive an upgrade;
- all newer ones, so that pilots survive a downgrade: the central ignores fields that it does not
  know.
"""

import re

from pilotage.proto.messages import PROTOCOL

_VERSION = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})")


def serves(version: str, ours: str = PROTOCOL) -> bool:
    """Return whether a central of the version `ours` serves a pilot of `version`."""
    theirs, mine = _VERSION.fullmatch(version), _VERSION.fullmatch(ours)
    assert mine is not None, "our own version is major.minor"
    if theirs is None:
        return False
    return theirs[1] == mine[1] and int(theirs[2]) >= int(mine[2]) - 1


def rotates(version: str) -> bool:
    """Return whether a pilot of a served version rotates its renewal secret (from 1.1 on)."""
    return version != "1.0"
