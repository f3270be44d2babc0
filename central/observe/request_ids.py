"""Which request is being answered: its id stands in its answer and in every line of the log."""

from contextvars import ContextVar
from itertools import count

REQUEST: ContextVar[str] = ContextVar("pilotage_request", default="")


class RequestIds:
    """Numbers requests. `prefix` tells one life of the process from another."""

    def __init__(self, prefix: str = "r") -> None:
        self._prefix, self._numbers = prefix, count(1)

    def next(self) -> str:
        """Return a fresh id, which is that of all that is logged from here on in this task."""
        made = f"{self._prefix}-{next(self._numbers)}"
        REQUEST.set(made)
        return made
