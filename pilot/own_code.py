"""Where this pilot's code lies, so that parts of it can be started as processes of their own."""

import sys
from pathlib import Path
from typing import Optional

# -I and -S: nothing of the user's is imported. A part is imported from the archive or checkout that
# this pilot runs from, and 1 MB smaller than through `__main__`.
_BOOT = "import sys; sys.path[:0] = [sys.argv[1]]; "


def root() -> Path:
    """Return the archive or folder that `pilotage` is imported from."""
    archive: Optional[str] = getattr(globals()["__loader__"], "archive", None)
    # Absolute: a part does not start in the folder that the pilot was started in.
    return Path(archive or Path(__file__).parents[2]).absolute()


def command(code: str, *words: str, python: str = sys.executable) -> list[str]:
    """Return the command line of a process that runs `code`; it finds `words` from argv[2] on."""
    return [python, "-I", "-S", "-c", _BOOT + code, str(root()), *words]
