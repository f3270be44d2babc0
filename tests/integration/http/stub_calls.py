"""What the stubs of services were asked, and what they do about it."""

import asyncio
import sys
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pilotage.central.errors import Refused
from pilotage.proto.api.jobs import Event

if sys.version_info >= (3, 12):
    from typing import override as override  # the type checker compares stub and service
else:
    T = TypeVar("T")

    def override(method: T, /) -> T:
        return method


@dataclass
class Calls:
    """`asked` has (name, caller, what) of each call to a stub."""

    asked: list[tuple[str, Any, Any]] = field(default_factory=list[tuple[str, Any, Any]])
    events: asyncio.Queue[Event] = field(default_factory=lambda: asyncio.Queue(maxsize=100))
    subscribed: int = 0
    is_ready: bool = True
    refusal: Refused | None = None
    bug: Exception | None = None


class Hearing:
    """A stub of a service. It inherits from the service, and overrides all that routes call."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls

    def hear(self, name: str, caller: Any, what: Any) -> None:
        """Note a call. Raises what the test wants."""
        self.calls.asked.append((name, caller, what))
        if self.calls.refusal is not None:
            raise self.calls.refusal
        if self.calls.bug is not None:
            raise self.calls.bug
