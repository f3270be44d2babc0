"""The free port that a server found at its first start, kept for the next ones.

Tokens, pilots and browsers know the old address.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol, TypeVar

from .files import NO_ROOM

API_PORT: Final = "http.port"  # files in the data directory
BUS_PORT: Final = "bus.port"


class _Bound(Protocol):
    @property
    def port(self) -> int: ...


S = TypeVar("S", bound=_Bound)


def on_last_port(kept: Path, opened: Callable[[int], S]) -> S:
    """Return a server on the port of its last start, or on a free port if that is taken.

    `opened` opens it on a port; 0 means a free one. Raises the OSError of `opened`. If the disk is
    full, a new port is not kept.
    """
    try:
        server = opened(int(kept.read_text()))
    except (OSError, ValueError, OverflowError):  # first start, a damaged file, a taken port
        server = opened(0)
    text = str(server.port)
    try:
        if not kept.is_file() or kept.read_text() != text:
            kept.write_text(text)
    except OSError as why:
        if why.errno not in NO_ROOM:
            raise
    return server
