"""Ids of requests. The answer to a request and its log lines contain the id."""

from contextvars import ContextVar
from itertools import count

REQUEST: ContextVar[str] = ContextVar("pilotage_request", default="")


class RequestIds:
    """Numbers requests. The prefix differs between two starts of the process."""

    def __init__(self, prefix: str = "r") -> None:
        self._prefix, self._numbers = prefix, count(1)

    def next(self) -> str:
        """Return a new id and put it into all later log lines of this task."""
        made = f"{self._prefix}-{next(self._numbers)}"
        REQUEST.set(made)
        return made
