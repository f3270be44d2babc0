"""Reports the health of the central, for probes, operators and the demo."""

from pilotage import __version__
from pilotage.proto.api.health import Health, Readiness
from pilotage.proto.pilot_states import LIVING

from ..accounts.disk_room import DiskRoom
from ..ports import Bus, Clock, Leadership
from ..store.engine import Store
from ..store.probe import StoreProbe
from .memory import Memory


class HealthService:
    """Answers health and readiness from memory."""

    def __init__(
        self,
        *,
        store: Store,
        memory: Memory,
        bus: Bus,
        clock: Clock,
        probe: StoreProbe,
        room: DiskRoom,
        leadership: Leadership,
    ) -> None:
        self._store, self._queue, self._leases = store, memory.queue, memory.leases
        self._pilots, self._bus, self._clock = memory.pilots, bus, clock
        self._late = memory.late
        self._probe, self._room, self._leadership = probe, room, leadership
        self._since = clock.monotonic()
        self._ready = False

    def set_ready(self, ready: bool) -> None:
        """Set whether the central is ready: after the rebuild, and until it stops."""
        self._ready = ready

    def ready(self) -> Readiness:
        bus = "none" if not self._bus.url else "up" if self._bus.up else "down"
        return Readiness(
            ready=self._ready and not self._probe.full and self._room.takes_new,
            loaded=self._ready,
            store=self._probe.full or "ok",
            bus=bus,
            disk=self._room.short or "ok",
        )

    def health(self) -> Health:
        bus = self._bus.url if self._bus.up else "down"
        late = self._late.failing(self._clock.monotonic())
        return Health(
            status="ready" if self._ready else "not ready",
            version=__version__,
            gen=self._store.generation,
            jobs_waiting=len(self._queue.matcher),
            attempts=self._leases.live_count(),
            pilots=sum(self._pilots.states[state] for state in LIVING),
            bus=bus if self._bus.url else "none",
            uptime_s=round(self._clock.monotonic() - self._since, 1),
            leader=self._leadership.url() or "",
            undelivered=len(late),
            undelivered_s=round(max((one.for_s for one in late), default=0.0), 1),
        )
