"""Events of a Rucio server, which its daemon `hermes` sends to a message broker.

Hermes deletes an event before the broker has confirmed it, and there is none for a file that is
registered, attached or described. So an event only makes the next poll come at once.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Final

import msgspec

from .files import RucioEvents

# Events about one file whose copies may have changed, or which may be erased.
_OF_FILES: Final = ("erase", "lost", "transfer-done", "deletion-done")


class RucioEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event. Names are those of Rucio, and empty if it has none."""

    type: str = ""
    scope: str = ""
    name: str = ""

    @property
    def is_of_file(self) -> bool:
        """Whether a file, or its copies, may have changed."""
        return self.type in _OF_FILES


class _Message(msgspec.Struct):
    event_type: str = ""
    payload: dict[str, Any] = {}


def event_of(text: str | bytes) -> RucioEvent | None:
    """Return the event of a message, or None if it is none (`lib/rucio/daemons/hermes`)."""
    try:
        found = msgspec.json.decode(text, type=_Message)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    scope, name = found.payload.get("scope"), found.payload.get("name")
    return RucioEvent(
        type=found.event_type,
        scope=scope if isinstance(scope, str) else "",
        name=name if isinstance(name, str) else "",
    )


Heard = Callable[[RucioEvent], None]
# Calls `Heard` for each event, until it is cancelled. The name is that of the server's file.
Listen = Callable[[RucioEvents, Heard, str], Coroutine[Any, Any, None]]
