"""The place of this pilot's code, from which parts of it are started as separate processes."""

import sys
from pathlib import Path
from typing import Optional

# -I and -S: nothing of the user's is imported. A part is imported from the archive or checkout of
# this pilot, and uses 1 MB less memory than through `__main__`.
_BOOT = "import sys; sys.path[:0] = [sys.argv[1]]; "


def root() -> Path:
    """Return the archive or folder that `pilotage` is imported from."""
    archive: Optional[str] = getattr(globals()["__loader__"], "archive", None)
    # Absolute, because a part starts in another folder than the pilot.
    return Path(archive or Path(__file__).parents[2]).absolute()


def command(code: str, *words: str, python: str = sys.executable) -> list[str]:
    """Return the command line of a process that runs `code`; `words` begin at argv[2]."""
    return [python, "-I", "-S", "-c", _BOOT + code, str(root()), *words]
