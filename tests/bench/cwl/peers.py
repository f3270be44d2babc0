"""Toil from the package index, in an environment of its own that the next run uses again."""

import os
import subprocess
import sys
import venv
from pathlib import Path

INSTALL_S = 900.0


def toil() -> list[str]:
    """Return the command of toil; empty if it cannot be installed, which is said."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "pilotage" / "bench-toil"
    command, complete = folder / "bin" / "toil-cwl-runner", folder / "complete"
    if not complete.exists():
        try:
            venv.create(folder, with_pip=True, clear=True)
            words = [str(folder / "bin" / "pip"), "install", "-q", "toil[cwl]"]
            subprocess.run(words, check=True, capture_output=True, text=True, timeout=INSTALL_S)
            complete.touch()
        except (subprocess.SubprocessError, OSError) as why:
            said = getattr(why, "stderr", "") or str(why)
            print(f"bench: toil cannot be installed here: {said[-500:]}", file=sys.stderr)
            return []
    return [str(command), "--no-container"]
