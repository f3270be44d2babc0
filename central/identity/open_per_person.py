"""Limits how many connections of one kind each user has open at once."""

from collections import Counter
from collections.abc import Callable

from pilotage.proto.problems import Code

from ..errors import Refused
from .callers import User


class PersonLimiter:
    """Counts the open connections of each user, and refuses more than `most` of them.

    It is for connections that last until the user closes them.
    """

    def __init__(self, most: int, why: str) -> None:
        """`why` is the message of the refusal."""
        self._most, self._why = most, why
        self._open: Counter[tuple[str, str, str]] = Counter()

    def enter(self, caller: User) -> Callable[[], None]:
        """Count one more connection. Raises Refused, TOO_MANY.

        The caller must call the returned function once, when the connection ends.
        """
        person = (caller.issuer, caller.subject, caller.community)
        if self._open[person] >= self._most:
            raise Refused(Code.TOO_MANY, self._why)
        self._open[person] += 1

        def leave() -> None:
            self._open[person] -= 1
            if not self._open[person]:
                del self._open[person]

        return leave
