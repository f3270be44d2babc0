"""Which versions of the pilots' protocol are served. Pure.

Our own minor version and the one before it, so that pilots outlive an upgrade; and newer ones, so
that a central that went back a release serves the pilots of the one after: what it does not know
it does not read.
"""

import re

from pilotage.proto.messages import PROTOCOL

_VERSION = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})")


def serves(version: str, ours: str = PROTOCOL) -> bool:
    """Say whether a central that speaks `ours` serves a pilot that speaks `version`."""
    theirs, mine = _VERSION.fullmatch(version), _VERSION.fullmatch(ours)
    assert mine is not None, "our own version is major.minor"
    if theirs is None:
        return False
    return theirs[1] == mine[1] and int(theirs[2]) >= int(mine[2]) - 1


def rotates(version: str) -> bool:
    """Say whether a pilot of a version that is served rotates its renewal secret: from 1.1 on."""
    return version != "1.0"
