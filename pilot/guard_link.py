"""The pilot's end of the socket pair whose other end the guard process holds."""

import asyncio
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from pilotage.proto.messages import Assignment, Usage
from pilotage.proto.wire import build

from . import guard, isolation, processes
from .ports import Ended, GuardGone, GuardNews

NEWS_LINE_MAX = 1 << 20  # bytes
ORDERS_MAX = 32 << 20  # bytes that the guard has not read: then it is not alive
GUARD_END_S = 12.0  # it kills everything within 10 s
SWEEPS_MAX = 100  # what forks faster than that is left to the end of its lease
LIFE = "PILOTAGE_GUARD"  # names this guard in the environment of its payloads
FROZEN_MAX_S = 7200.0  # a payload that was frozen for longer is killed
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"

# -I and -S: nothing of the user's is imported. What `pilot.pyz guard FD` does, from an archive or a
# checkout, and 1 MB smaller than through `__main__`.
_BOOT = (
    "import sys; sys.path[:0] = [sys.argv[1]]; "
    "from pilotage.pilot.guard import main; main(int(sys.argv[2]))"
)


class GuardLink:
    """Driver of ports.Guard: orders go out without waiting, news come in order."""

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        rung: str,
        hidden: Sequence[Path],
        life: str,
        frozen_max_s: float,
    ) -> None:
        self._process, self._reader, self._writer = process, reader, writer
        self._rung, self._hidden, self._life = rung, tuple(hidden), life
        self._frozen_max_s = frozen_max_s

    @property
    def isolation(self) -> str:
        return self._rung

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self, assignment: Assignment, folder: Path, fence: float) -> None:
        environment = payload_environment(assignment, folder)
        wrapping = isolation.wrap(
            self._rung,
            environment,
            marks={guard.MARK: str(assignment.attempt_id), LIFE: self._life},
            folders=(folder / "work", folder / "tmp"),
            hidden=self._hidden,
        )
        (folder / "tmp").mkdir(mode=0o700, exist_ok=True)
        self._order(
            do="start",
            attempt_id=assignment.attempt_id,
            argv=list(assignment.body.command),
            path=environment["PATH"],
            prefix=list(wrapping.prefix),
            env=dict(wrapping.environment),
            feed=wrapping.feed,
            folder=str(folder),
            fence=fence,
            wall_s=assignment.grant.wall_s,
            frozen_max_s=self._frozen_max_s,
            isolation=self._rung,
        )

    def fence(self, attempt_id: int, fence: float) -> None:
        self._order(do="fence", attempt_id=attempt_id, fence=fence)

    def stop(self, attempt_id: int, grace_s: float) -> None:
        self._order(do="stop", attempt_id=attempt_id, grace_s=grace_s)

    async def news(self) -> GuardNews:
        try:
            line = await self._reader.readline()
        except (OSError, ValueError):
            line = b""
        if not line.endswith(b"\n"):
            await self._bury()
            raise GuardGone("the guard process is gone, and its payloads with it")
        return _news(json.loads(line))

    def seen_dead(self, attempt_id: int, boot_id: str, namespace: str) -> bool:
        # A guard kills all of its payloads when its pilot goes. What is marked may still be on its
        # way out; what is not visible from here, or of an earlier boot's numbers, is not judged.
        if boot_id != processes.boot_id() or namespace != processes.pid_namespace():
            return False
        return not processes.marked(guard.MARK, str(attempt_id))

    async def close(self) -> None:
        """End the guard, which kills what still runs, and wait until it has."""
        self._writer.close()
        await self._bury()

    def _order(self, **order: object) -> None:
        transport = self._writer.transport
        if transport.is_closing():
            return  # news() says so
        if transport.get_write_buffer_size() > ORDERS_MAX:
            transport.abort()
            return
        self._writer.write(json.dumps(order, separators=(",", ":")).encode() + b"\n")

    async def _bury(self) -> None:
        if not self._writer.transport.is_closing():
            self._writer.transport.abort()
        await asyncio.get_running_loop().run_in_executor(None, self._sweep)

    def _sweep(self) -> None:
        """Reap the guard, then kill what it has left if it was killed: the plain rung."""
        try:
            self._process.wait(GUARD_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for _ in range(SWEEPS_MAX):
            left = processes.marked(LIFE, self._life)
            for pid in left:
                processes.send(pid, signal.SIGKILL)
            if not left:
                return


async def start_guard(
    *,
    rung: str = "",
    hidden: Sequence[Path] = (),
    frozen_max_s: float = FROZEN_MAX_S,
    python: str = sys.executable,
) -> GuardLink:
    """Start the guard process and return the link to it.

    `rung` forces a rung of the isolation ladder; empty takes the best that works here. `hidden` are
    folders of the pilot that payloads shall not see.
    """
    loop = asyncio.get_running_loop()
    if not rung:
        rung = await loop.run_in_executor(None, isolation.best_rung)
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            guard_command(python, theirs.fileno()),
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            env={"PATH": os.environ.get("PATH", DEFAULT_PATH)},
            cwd="/",
            start_new_session=True,  # a signal to the pilot's group is for the pilot
        )
    ours.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=ours, limit=NEWS_LINE_MAX)
    return GuardLink(
        process,
        reader,
        writer,
        rung=rung,
        hidden=hidden,
        life=secrets.token_hex(8),
        frozen_max_s=frozen_max_s,
    )


def guard_command(python: str, channel: int) -> list[str]:
    """Return the command line of the guard, which imports itself from where this pilot lies."""
    archive: Optional[str] = getattr(guard.__loader__, "archive", None)
    # Absolute: the guard does not start in the folder that the pilot was started in.
    root = Path(archive or Path(guard.__file__).parents[2]).absolute()
    return [python, "-I", "-S", "-c", _BOOT, str(root), str(channel)]


def payload_environment(assignment: Assignment, folder: Path) -> dict[str, str]:
    """Return everything that a payload finds in its environment, but for the marks."""
    grant = assignment.grant
    return {
        "PATH": DEFAULT_PATH,
        "HOME": str(folder / "work"),
        "LANG": "C.UTF-8",
        "TMPDIR": str(folder / "tmp"),
        **assignment.body.environment,
        "PILOTAGE_JOB": str(assignment.job),
        "PILOTAGE_EPOCH": str(assignment.epoch),
        "PILOTAGE_CORES": str(grant.cores),
        "PILOTAGE_MEMORY_MB": str(grant.memory_mb),
        "PILOTAGE_WALL_S": str(int(grant.wall_s)),
    }


def _news(said: Mapping[str, Any]) -> GuardNews:
    attempt_id: int = said["attempt_id"]
    if "ended" in said:
        ended = said["ended"]
        return GuardNews(
            attempt_id,
            ended=Ended(
                attempt_id=attempt_id,
                exit_code=ended["exit_code"],
                signal=ended["signal"],
                frozen_s=ended["frozen_s"],
                usage=build(Usage, ended["usage"], "usage"),
                why=ended["why"],
            ),
        )
    return GuardNews(
        attempt_id,
        started="started" in said,
        not_started=said.get("not_started", ""),
        frozen="frozen" in said,
        thawed="thawed" in said,
    )
