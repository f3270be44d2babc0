"""How the central is: for probes, for the operator, for the demo."""

from pilotage import __version__
from pilotage.proto.api import Health
from pilotage.proto.pilot_states import LIVING

from ..ports import Bus, Clock
from ..store.protocol import Store
from .memory import Memory


class HealthService:
    """Answers out of memory."""

    def __init__(
        self,
        *,
        store: Store,
        memory: Memory,
        bus: Bus,
        clock: Clock,
    ) -> None:
        self._store, self._queue, self._leases = store, memory.queue, memory.leases
        self._pilots, self._bus, self._clock = memory.pilots, bus, clock
        self._since = clock.monotonic()
        self._ready = False

    def set_ready(self, ready: bool) -> None:
        """Say whether requests are answered: not before the rebuild, not while stopping."""
        self._ready = ready

    def ready(self) -> bool:
        return self._ready

    def health(self) -> Health:
        bus = self._bus.url if self._bus.up else "down"
        return Health(
            status="ready" if self._ready else "not ready",
            version=__version__,
            gen=self._store.generation,
            jobs_waiting=len(self._queue.matcher),
            attempts=self._leases.live_count(),
            pilots=sum(1 for one in self._pilots.all() if one.state in LIVING),
            bus=bus if self._bus.url else "none",
            uptime_s=round(self._clock.monotonic() - self._since, 1),
        )
