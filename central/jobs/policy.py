"""Shares and limits of the settings' file, read again while the central runs.

A file that cannot be read changes nothing: the shares and limits that were read last stay in force.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from ..observe.events import Log
from ..settings import BadSetting, MatcherSettings
from .queue import Queue

KEYS: Final = ("shares", "running", "starts")  # of the section `matcher`; others need a restart


class Policy:
    """What is in force. A process that waits to lead keeps it until then."""

    def __init__(
        self, settings: MatcherSettings, read: Callable[[], Awaitable[MatcherSettings]], log: Log
    ) -> None:
        """`read` reads the file, and raises BadSetting."""
        self.settings = settings
        self._read, self._log = read, log
        self._queue: Queue | None = None

    def lead(self, queue: Queue) -> None:
        """From now on changes are for this queue. What it was made with may be old by now."""
        self._queue = queue
        rules = queue.matcher.rules
        if any(getattr(rules, key) != getattr(self.settings, key) for key in KEYS):
            queue.change(self.settings)

    async def read_again(self, by: str) -> str:
        """Take up what the file says now. Return why nothing of it counts, empty if it does.

        `by`: who asked, for the log. A change counts from the next match on.
        """
        try:
            found = await self._read()
        except BadSetting as why:
            self._log("limits_refused", by=by, why=str(why))
            return str(why)
        new = {key: getattr(found, key) for key in KEYS}
        changed = [key for key in KEYS if new[key] != getattr(self.settings, key)]
        self.settings = msgspec.structs.replace(self.settings, **new)
        if changed and self._queue is not None:
            self._queue.change(self.settings)
        self._log("limits_read", by=by, changed=changed)
        return ""
