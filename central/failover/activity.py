"""How failover is doing, for the metrics: what it decides, when it last looked, mails that wait."""

from collections import Counter

from ..observe.events import Log
from ..ports import Clock

DECIDED = ("failover_decided", "failover_recovered")  # events that say what was done


class Pulse:
    """Counts, and remembers two moments."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.decisions: Counter[str] = Counter()  # by what was done, since the start
        self._looked = clock.monotonic()  # when the last whole cycle ended
        self._mail_fails_since: float | None = None

    def counted(self, log: Log) -> Log:
        """Return a log that counts decisions as they are told. What is only tried is none."""

        def tell(event: str, **facts: object) -> None:
            if event in DECIDED and not facts.get("dry_run"):
                self.decisions[str(facts["do"])] += 1
            log(event, **facts)

        return tell

    def looked(self) -> None:
        """A cycle has looked at all transformations."""
        self._looked = self._clock.monotonic()

    def mailed(self, done: bool) -> None:
        """A mail went, or did not."""
        if done:
            self._mail_fails_since = None
        elif self._mail_fails_since is None:
            self._mail_fails_since = self._clock.monotonic()

    def age_s(self) -> float:
        """Return how long ago the last whole cycle ended; before the first, the start."""
        return self._clock.monotonic() - self._looked

    def mail_fails_s(self) -> float:
        """Return for how long no mail has gone that was tried; 0: the last one went."""
        since = self._mail_fails_since
        return 0.0 if since is None else self._clock.monotonic() - since
