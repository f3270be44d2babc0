"""Folders for services whose daemons and jobs run as other users."""

import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def open_folder(name: str) -> Generator[Path]:
    """Yield a fresh folder that others may look into; pytest's own may not be passed by them."""
    folder = Path(tempfile.mkdtemp(prefix=f"pilotage-{name}-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
