"""Other runners of CWL: cwltool of this environment, and toil from the package index.

Toil gets an environment of its own in the cache folder, which the next run uses again.
"""

import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

INSTALL_S = 900.0


class NoPeer(Exception):
    """A peer cannot be installed or run here. The argument says why."""


def cwltool() -> list[str]:
    """Return the command of cwltool in this environment."""
    return [str(Path(sys.executable).parent / "cwltool"), "--parallel", "--no-container"]


def toil() -> list[str]:
    """Return the command of toil. Raises NoPeer."""
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
            raise NoPeer(f"toil cannot be installed: {said[-500:]}") from None
    return [str(command), "--no-container"]


PEERS: Final = {"cwltool --parallel": cwltool, "toil": toil}
