"""Slow measurements that begin at once: the benchmark, and the search for the best rung.

Both are separate processes, so that they run while Python still imports the rest of the pilot.
"""

import threading
from typing import TYPE_CHECKING, Optional

from ..settings import AUTO, NAMESPACES, Settings
from .benchmark_run import Measuring

if TYPE_CHECKING:
    from pilotage.proto.messages import Benchmark

    from ..detect.finding import SourcedValue


class StartedWork:
    """Running measurements. Threads wait for the results; `end` stops them."""

    def __init__(self, settings: Settings) -> None:
        self._measuring = Measuring(settings.benchmark_s)
        self._rung = "" if settings.isolation in (AUTO, NAMESPACES) else settings.isolation
        self._trying: Optional[threading.Thread] = None
        if not self._rung:
            self._trying = threading.Thread(target=self._try_rungs, name="rungs", daemon=True)
            self._trying.start()

    def benchmark(self) -> "SourcedValue[Optional[Benchmark]]":
        """Wait for the benchmark of the node, for a limited time."""
        return self._measuring.wait()

    def rung(self) -> str:
        """Wait for the rung of payloads: the named one, or the best."""
        if self._trying is not None:
            self._trying.join()
        return self._rung

    def end(self) -> None:
        """Stop everything that still runs."""
        self._measuring.end()

    def _try_rungs(self) -> None:
        from ..outfit import isolation

        self._rung = isolation.best_rung()
