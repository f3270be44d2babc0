"""Whether the store takes anything, as whoever writes finds out."""

from ..observe.events import Log
from ..observe.metrics import histogram


class StoreProbe:
    """One answer for probes and metrics, and one line in the log for each time that it changes."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.full = ""  # why the last write was refused; empty: there is room
        self._told = ""  # what was refused last
        # Of the write that tries the store, every ten seconds.
        self.write_s = histogram("pilotage_store_write_seconds")

    def refused(self, why: str) -> None:
        """A write found no room."""
        if not self.full:
            self._log("store_full", why=why)
        self.full = why

    def failed(self, loop: str, why: str) -> None:
        """A write was refused for what is in it: there is room for others."""
        if why != self._told:
            self._log("loop_failed", loop=loop, error=why)
        self._told = why

    def wrote(self, took_s: float) -> None:
        """A write has succeeded that took so long."""
        if self.full:
            self._log("store_has_room", was=self.full)
        self.full = self._told = ""
        self.write_s.observe(took_s)
