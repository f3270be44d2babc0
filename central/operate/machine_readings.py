"""Metrics of the machine: sizes, free space, memory, files."""

import asyncio
import os
import resource
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from cryptography import x509

from .datadir import STORE_FILE


class MachineReadings:
    """Reads the machine when called; omits values that cannot be read."""

    def __init__(self, data: Path, certificate: str = "") -> None:
        self._data, self._expires_at = data, _expiry(certificate)

    async def __call__(self) -> Mapping[str, float]:
        return await asyncio.to_thread(self._read)

    def _read(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for name in (STORE_FILE, f"{STORE_FILE}-wal"):
            path = self._data / name
            if path.exists():
                found[f"pilotage_store_bytes:{name}"] = path.stat().st_size
        found["pilotage_disk_free_bytes"] = shutil.disk_usage(self._data).free
        times = os.times()
        found["process_cpu_seconds_total"] = times.user + times.system
        try:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            found["process_resident_memory_bytes"] = pages * resource.getpagesize()
            found["process_open_fds"] = len(os.listdir("/proc/self/fd"))
        except OSError:
            pass  # not Linux
        found["process_max_fds"] = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if self._expires_at is not None:
            found["pilotage_certificate_expires_seconds"] = self._expires_at - time.time()
        return found


def _expiry(certificate: str) -> float | None:
    if not certificate:
        return None
    try:
        content = Path(certificate).read_bytes()
        return x509.load_pem_x509_certificate(content).not_valid_after_utc.timestamp()
    except (OSError, ValueError):
        return None
