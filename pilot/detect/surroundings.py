"""Everything that detection looks at: files below a root, the environment, commands, disks."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

COMMAND_PATIENCE_S = 10.0
OUTPUT_MAX = 4 << 20  # bytes that are read of what a command prints

# argv → what it prints; empty where it is not there, fails or takes too long.
Run = Callable[[Sequence[str]], str]


@dataclass(frozen=True)
class Surroundings:
    """A node as the pilot sees it, or as it was recorded."""

    root: Path
    environ: Mapping[str, str]
    run: Run
    architecture: str  # as `uname -m` says it
    host: str
    now: Callable[[], float]  # seconds since 1970, for what batch systems say in such
    free_bytes: Callable[[Path], Optional[int]]  # what an ordinary user may still write there

    def file(self, path: str) -> Path:
        """Return where an absolute path of the node is."""
        return self.root / path.lstrip("/")

    def shown(self, path: Path) -> str:
        """Return the path of the node that `file` made this of."""
        try:
            return "/" + str(path.relative_to(self.root))
        except ValueError:
            return str(path)

    def is_there(self, path: str) -> bool:
        try:
            return self.file(path).exists()
        except (OSError, ValueError):
            return False

    def tool(self, name: str) -> str:
        """Return the path of a command that PATH leads to, empty where there is none."""
        for folder in self.environ.get("PATH", os.defpath).split(":"):
            if folder.startswith("/") and self.is_tool(f"{folder.rstrip('/')}/{name}"):
                return f"{folder.rstrip('/')}/{name}"
        return ""

    def is_tool(self, path: str) -> bool:
        try:
            file = self.file(path)
            return file.is_file() and os.access(file, os.X_OK)
        except (OSError, ValueError):
            return False


def here(environ: Mapping[str, str], wall: Callable[[], float], root: Path) -> Surroundings:
    """Return the surroundings of this process."""
    system = os.uname()
    return Surroundings(
        root=root,
        environ=environ,
        run=lambda argv: output(argv, environ),
        architecture=system.machine,
        host=system.nodename,
        now=wall,
        free_bytes=free_bytes,
    )


def output(
    argv: Sequence[str], environ: Mapping[str, str], patience_s: float = COMMAND_PATIENCE_S
) -> str:
    """Return what a command prints, empty where it is not there, fails or takes too long.

    It prints into a file: neither much output nor a process that cannot be killed holds us up.
    """
    with tempfile.TemporaryFile() as printed:
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.DEVNULL,
                env={**environ, "LC_ALL": "C"},
                cwd="/",
                start_new_session=True,
            )
        except (OSError, ValueError):
            return ""
        try:
            if process.wait(patience_s) != 0:
                return ""
        except subprocess.TimeoutExpired:
            _kill(process)
            return ""
        printed.seek(0)
        return printed.read(OUTPUT_MAX).decode("utf-8", errors="replace")


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill a command and all it started. What waits for a sick disk dies when that lets it."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except OSError:
        pass
    try:
        process.wait(0.5)
    except subprocess.TimeoutExpired:
        pass


def free_bytes(folder: Path) -> Optional[int]:
    """Return what an ordinary user may still write below `folder`, None where it is not known."""
    try:
        return shutil.disk_usage(folder).free
    except (OSError, ValueError):
        return None
