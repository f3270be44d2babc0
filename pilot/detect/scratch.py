"""How much room payloads have on disk."""

import shutil
from pathlib import Path


def free_mb(folder: Path) -> int:
    """Return what an ordinary user may still write below `folder`, in 10^6 bytes."""
    try:
        return shutil.disk_usage(folder).free // 1_000_000
    except OSError:
        return 0
