"""Folders for services whose daemons and jobs run as other users."""

import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

MEMORY: Final = Path("/dev/shm")
ROOMY_BYTES: Final = 3_000_000_000  # a server that is written to keeps a log of 1 GB


@contextmanager
def open_folder(name: str, inside: str | None = None) -> Generator[Path]:
    """Yield a fresh folder that others may look into; pytest's own may not be passed by them.

    It lies in /tmp, unless `inside` names another folder. Payloads do not see the node's /tmp.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"pilotage-{name}-", dir=inside))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def quick() -> str | None:
    """Return a folder in memory: there it takes no time to sync. None where is not room enough.

    For what stores do, not for how long it takes and not for what is left when the power fails.
    """
    if not os.access(MEMORY, os.W_OK | os.X_OK) or shutil.disk_usage(MEMORY).free < ROOMY_BYTES:
        return None
    return str(MEMORY)
