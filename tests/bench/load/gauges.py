"""What a central takes: CPU, memory, descriptors, read from the system."""

import os
from pathlib import Path

from ..machine import cpu_s


class Gauge:
    """One process between two moments."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._cpu_s = cpu_s(pid)

    def cpu_s(self) -> float:
        """Return the CPU seconds since this gauge was made, of all threads."""
        return cpu_s(self._pid) - self._cpu_s

    def memory_mb(self) -> float:
        """Return what is resident now."""
        for line in Path(f"/proc/{self._pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1_024
        return 0.0

    def files(self) -> int:
        """Return how many descriptors are open now."""
        return len(os.listdir(f"/proc/{self._pid}/fd"))
