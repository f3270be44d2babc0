"""Whether the store accepts writes, according to the latest writes."""

from ..observe.events import Log
from ..observe.metrics import histogram


class StoreProbe:
    """The state of the store for health checks and metrics. Each change gets one log line."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.full = ""  # why the last write found no space; empty: there is space
        self._told = ""  # the last logged refusal
        # Duration of the test write every ten seconds.
        self.write_s = histogram("pilotage_store_write_seconds")

    def refused(self, why: str) -> None:
        """Record a write that found no space."""
        if not self.full:
            self._log("store_full", why=why)
        self.full = why

    def failed(self, loop: str, why: str) -> None:
        """Record a write that was refused for its content. Other writes may succeed."""
        if why != self._told:
            self._log("loop_failed", loop=loop, error=why)
        self._told = why

    def wrote(self, took_s: float) -> None:
        """Record a successful write and its duration."""
        if self.full:
            self._log("store_has_room", was=self.full)
        self.full = self._told = ""
        self.write_s.observe(took_s)
