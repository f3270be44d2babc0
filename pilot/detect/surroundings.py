"""The inputs of detection: files below a root, the environment, commands, disks."""

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
OUTPUT_MAX = 4 << 20  # bytes of a command's output that are read

# argv → output; empty if the command is missing, fails or takes too long.
RunProgram = Callable[[Sequence[str]], str]


@dataclass(frozen=True)
class Surroundings:
    """A node as the pilot sees it, or a recording of one."""

    root: Path
    environ: Mapping[str, str]
    run: RunProgram
    architecture: str  # from `uname -m`
    host: str
    now: Callable[[], float]  # seconds since 1970, for absolute times of batch systems
    free_bytes: Callable[[Path], Optional[int]]  # free for an ordinary user

    def file(self, path: str) -> Path:
        """Return the place of an absolute path of the node."""
        return self.root / path.lstrip("/")

    def shown(self, path: Path) -> str:
        """Return the path of the node, the reverse of `file`."""
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
        """Return the path of a command found in PATH; empty if there is none."""
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
    """Return the output of a command; empty if it is missing, fails or takes too long.

    It prints into a file, so that neither much output nor an unkillable process can block the
    pilot.
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
    """Kill a command and its children.

    A process that waits for a hanging disk dies when the disk answers.
    """
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except OSError:
        pass
    try:
        process.wait(0.5)
    except subprocess.TimeoutExpired:
        pass


def free_bytes(folder: Path) -> Optional[int]:
    """Return the space below `folder` that an ordinary user may use; None if unknown."""
    try:
        return shutil.disk_usage(folder).free
    except (OSError, ValueError):
        return None
