"""The benchmark of the node, in a separate process during the start of the pilot."""

import subprocess
from typing import TYPE_CHECKING, Optional

from .. import own_code

if TYPE_CHECKING:
    from pilotage.proto.messages import Benchmark

    from ..detect.finding import SourcedValue

PATIENCE_S = 5.0  # besides its CPU time: a busier node is not waited for
_RUN = (
    "import time; from pilotage.pilot.detect.benchmark_loops import main; "
    "main(time.process_time, float(sys.argv[2]))"
)


class Measuring:
    """A running benchmark. Its memory, twice 32 MB, is freed with its process."""

    def __init__(self, spend_s: float) -> None:
        self._patience_s = spend_s + PATIENCE_S
        self._why = ""
        self._process = self._start(spend_s) if spend_s else None

    def _start(self, spend_s: float) -> "Optional[subprocess.Popen[bytes]]":
        try:
            return subprocess.Popen(
                own_code.command(_RUN, f"{spend_s:g}"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={},
                cwd="/",
                start_new_session=True,
            )
        except OSError as why:
            self._why = str(why)
            return None

    @property
    def pid(self) -> int:
        """The process that measures or has measured; 0 if there is none."""
        return self._process.pid if self._process is not None else 0

    def wait(self) -> "SourcedValue[Optional[Benchmark]]":
        """Wait for the results, for a limited time."""
        from ..detect import benchmark  # while the loops run
        from ..detect.finding import SourcedValue

        process = self._process
        if process is None:
            return SourcedValue(None, "", (self._why,) if self._why else ())
        try:
            printed, _ = process.communicate(timeout=self._patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return SourcedValue(
                None, "", (f"the benchmark was not ready after {self._patience_s:g} s",)
            )
        found = benchmark.parse(printed.decode("utf-8", errors="replace"))
        if found is None:
            return SourcedValue(None, "", ("the benchmark printed no results",))
        figures = (
            f"integer {found.integer_per_s:.0f} /s",
            f"float {found.float_per_s:.0f} /s",
            f"memory {found.memory_mb_per_s:.0f} MB/s",
        )
        return SourcedValue(found, f"measured ({found.method})", figures)

    def end(self) -> None:
        """Stop the benchmark, if it still runs, because its results are not needed any more."""
        process = self._process
        if process is not None and process.poll() is None:
            process.kill()
            process.communicate()
