"""The state of failover for the metrics: its decisions, its last cycle, and mails that fail."""

from collections import Counter

from ..observe.events import Log
from ..ports import Clock

DECIDED = ("failover_decided", "failover_recovered")  # events that report an action


class Pulse:
    """Counts decisions, and keeps the times of the last cycle and of the first failed mail."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.decisions: Counter[str] = Counter()  # by action, since the start
        self._looked = clock.monotonic()  # when the last whole cycle ended
        self._mail_fails_since: float | None = None

    def counted(self, log: Log) -> Log:
        """Return a log that also counts decisions. Dry runs are not counted."""

        def tell(event: str, **facts: object) -> None:
            if event in DECIDED and not facts.get("dry_run"):
                self.decisions[str(facts["do"])] += 1
            log(event, **facts)

        return tell

    def looked(self) -> None:
        """Note that a cycle has checked all transformations."""
        self._looked = self._clock.monotonic()

    def mailed(self, done: bool) -> None:
        """Note whether a mail was sent."""
        if done:
            self._mail_fails_since = None
        elif self._mail_fails_since is None:
            self._mail_fails_since = self._clock.monotonic()

    def age_s(self) -> float:
        """Return the seconds since the last whole cycle ended; before the first one, since the
        start.
        """
        return self._clock.monotonic() - self._looked

    def mail_fails_s(self) -> float:
        """Return for how many seconds all mails have failed; 0: the last one was sent."""
        since = self._mail_fails_since
        return 0.0 if since is None else self._clock.monotonic() - since
