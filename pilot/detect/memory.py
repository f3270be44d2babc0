"""How much memory is ours: the machine's, or what a control group leaves of it."""

from collections.abc import Iterable
from pathlib import Path

from . import cgroups
from .reading import number, text

_UNLIMITED = 1 << 60  # version 1 says "no limit" as a number near 2^63


def memory_mb(root: Path) -> int:
    """Return the memory that payloads may use together, in 10^6 bytes; 0 where it is not known."""
    limits = [bytes_ for bytes_ in (_total(root), *_limits(root)) if 0 < bytes_ < _UNLIMITED]
    return min(limits, default=0) // 1_000_000


def _total(root: Path) -> int:
    for line in text(root / "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return number(line.partition(":")[2]) * 1024
    return 0


def _limits(root: Path) -> Iterable[int]:
    for folder in cgroups.folders(root, "memory"):
        for name in ("memory.max", "memory.high", "memory.limit_in_bytes"):
            yield number(text(folder / name))
