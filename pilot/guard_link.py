"""The pilot's end of the socket pair to the guard process."""

import asyncio
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Optional

from pilotage.proto.messages import Assignment, Usage
from pilotage.proto.wire import build

from . import own_code
from .files.programs import Finder
from .files.token_files import tokens_folder
from .files.usage_sampler import UsageSampler
from .guard import cgroups, guard, line_protocol, processes
from .guard.limits import PayloadLimits
from .outfit import isolation, wrapping
from .outfit.environment import DEFAULT_PATH, environment_of
from .outfit.exposure import is_in
from .ports import Ended, GuardGone, GuardNews, Outfit

NEWS_LINE_MAX = 1 << 20  # bytes
ORDERS_MAX = 32 << 20  # bytes that the guard has not read, after which it counts as dead
GUARD_END_S = 12.0  # it kills everything within 10 s
SWEEPS_MAX = 100  # processes that fork faster are left to the end of their lease
LIFE = "PILOTAGE_GUARD"  # identifies this guard in the environment of its payloads
FROZEN_MAX_S = 7200.0  # a payload that was frozen for longer is killed

# Does the same as `pilot.pyz guard FD`.
_BOOT = "from pilotage.pilot.guard.guard import main; main(int(sys.argv[2]))"


class GuardLink:
    """Driver of ports.Guard: orders are sent without waiting, and news arrive in order."""

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        rung: str,
        hidden: Iterable[Path],
        life: str,
        frozen_max_s: float,
    ) -> None:
        self._process, self._reader, self._writer = process, reader, writer
        self._rung, self._hidden, self._life = rung, hidden, life
        self._frozen_max_s = frozen_max_s
        self._prepared: Optional[tuple[Path, tuple[Path, ...]]] = None  # and the hidden paths
        self._scales = UsageSampler(self._order, asyncio.get_running_loop(), time.sleep)
        self._finder = Finder(asyncio.get_running_loop())
        # Payloads whose programs are being searched for.
        self._starting: dict[int, dict[str, Any]] = {}
        self._next: Optional[Path] = None  # the folder to prepare after that

    @property
    def isolation(self) -> str:
        return self._rung

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def life(self) -> str:
        """Return the value of LIFE in the environment of everything that this guard starts."""
        return self._life

    def prepare(self, folder: Path) -> None:
        if self._starting:  # one of them may be about to enter the existing shelter
            self._next = folder
            return
        hidden = tuple(self._hidden)
        _make_parts(folder)
        shelter = isolation.shelter(
            self._rung, marks={LIFE: self._life}, folder=folder, hidden=hidden
        )
        if shelter is None:
            return
        self._prepared = folder, hidden
        env, prefix = dict(shelter.environment), list(shelter.prefix)
        self._order(do="prepare", folder=str(folder), prefix=prefix, env=env)

    def start(
        self, assignment: Assignment, folder: Path, fence: float, outfit: Optional[Outfit] = None
    ) -> None:
        outfit = outfit or Outfit(self._rung, {})
        environment = environment_of(assignment, folder, outfit)
        marks = {guard.MARK: str(assignment.attempt_id), LIFE: self._life}
        exports = None
        lent = (tokens_folder(folder),) if assignment.body.tokens else ()
        if outfit.entry is not None:
            around = outfit.entry.wrap(environment, first_on_path=outfit.on_path, marks=marks)
        else:
            hidden = tuple(self._hidden) if self._rung != isolation.SESSION else ()
            if self._prepared is not None and folder == self._prepared[0]:
                # Another pilot may have started since, whose folder the shelter does not hide.
                if self._prepared[1] == hidden and not (outfit.shown or lent):
                    exports = wrapping.exports({**environment, **marks})
                self._prepared = None
            around = isolation.wrap(
                self._rung,
                environment,
                marks=marks,
                folder=folder,
                hidden=hidden,
                shown=outfit.shown,
                lent=lent,
            )
        _make_parts(folder)
        limits = _limits(assignment)
        self._scales.put_on(assignment.attempt_id, folder, PayloadLimits(limits))
        attempt_id, program = assignment.attempt_id, assignment.body.command[0]
        self._starting[attempt_id] = {
            "do": "start",
            "attempt_id": attempt_id,
            "argv": list(assignment.body.command),
            "prefix": list(around.prefix),
            "env": dict(around.environment),
            "feed": around.feed,
            "exports": exports or "",
            "folder": str(folder),
            "fence": fence,
            "wall_s": assignment.grant.wall_s,
            "frozen_max_s": self._frozen_max_s,
            "isolation": outfit.isolation,
            "limits": limits,
            "warn": False,
        }
        if outfit.entry is not None:  # the image, not the node, determines its path
            self._begin(attempt_id, program, "")
        else:
            seen = (str(folder), *outfit.shown) if self._rung != isolation.SESSION else ("/",)
            begin = partial(self._found, attempt_id, seen)
            self._finder.find(program, str(folder / "work"), environment["PATH"], begin)

    def _found(self, attempt_id: int, seen: Sequence[str], program: str, fault: str) -> None:
        """Start a payload whose program was found. Of the node's /tmp, it sees only `seen`."""
        if isolation.is_private(program) and not any(is_in(program, one) for one in seen):
            fault = f"{program} is in a folder that is private to each payload: make it an input"
        self._begin(attempt_id, program, fault)

    def _begin(self, attempt_id: int, program: str, fault: str) -> None:
        """Start a payload after the search for its program, or let the guard report the fault."""
        order = self._starting.pop(attempt_id, None)
        if order is None:
            return  # it was stopped since
        order["argv"][0] = program
        self._order(**order, fault=fault)
        if self._next is not None and not self._starting:
            folder, self._next = self._next, None
            self.prepare(folder)

    def fence(self, attempt_id: int, fence: float) -> None:
        if attempt_id in self._starting:
            self._starting[attempt_id]["fence"] = fence
        self._order(do="fence", attempt_id=attempt_id, fence=fence)

    def stop(self, attempt_id: int, grace_s: float) -> None:
        self._begin(attempt_id, "", "stopped before it was started")
        self._order(do="stop", attempt_id=attempt_id, grace_s=grace_s)

    def have_groups(self, folder: str) -> None:
        """Give payloads control groups in a folder."""
        self._order(do="groups", folder=folder)

    def ends(self, at: float) -> None:
        self._order(do="ends", at=at)

    def warn(self) -> None:
        for order in self._starting.values():
            order["warn"] = True
        self._order(do="warn")

    async def news(self) -> GuardNews:
        while True:
            try:
                line = await self._reader.readline()
            except (OSError, ValueError):
                line = b""
            if not line.endswith(b"\n"):
                await self._bury()
                raise GuardGone("the guard process has ended, and its payloads with it")
            said = line_protocol.read(line)
            if "weigh" in said:
                self._scales.weigh(said["attempt_id"], said["weigh"])
            elif "line" in said:
                self._scales.draw(said["attempt_id"], said["line"], said["processes"])
            else:
                return await self._to_pilot(said)

    async def _to_pilot(self, said: Mapping[str, Any]) -> GuardNews:
        """Return the news for the pilot; an end includes the files that its payload has left."""
        attempt_id: int = said["attempt_id"]
        if "not_started" in said:
            await self._scales.take_off(attempt_id, None)
        elif "ended" in said:
            ended = said["ended"]
            left = await self._scales.take_off(attempt_id, ended["line"])
            usage = ended["usage"]
            usage["scratch_peak_mb"] = max(usage["scratch_peak_mb"], left.scratch_mb)
        return _news(said)

    def seen_dead(self, attempt_id: int, boot_id: str, namespace: str, life: str) -> bool:
        # A guard kills all of its payloads when its pilot ends. Marked processes may still be
        # ending. Processes that are not visible from here, or of an earlier boot, are not judged.
        if boot_id != processes.boot_id() or namespace != processes.pid_namespace():
            return False
        # The wrapper of a payload may have been started before the attempt was known.
        if life and processes.marked(LIFE, life):
            return False
        return not processes.marked(guard.MARK, str(attempt_id))

    async def close(self) -> None:
        """End the guard, which kills all payloads, and wait for its end."""
        self._starting.clear()
        self._scales.close()
        self._writer.close()
        await self._bury()

    def _order(self, **order: object) -> None:
        transport = self._writer.transport
        if transport.is_closing():
            return  # news() reports it
        if transport.get_write_buffer_size() > ORDERS_MAX:
            transport.abort()
            return
        self._writer.write(line_protocol.written(order))

    async def _bury(self) -> None:
        if not self._writer.transport.is_closing():
            self._writer.transport.abort()
        await asyncio.get_running_loop().run_in_executor(None, self._sweep)

    def _sweep(self) -> None:
        """Reap the guard, and kill the processes that it left if it was killed: the plain rung."""
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
    hidden: Iterable[Path] = (),
    frozen_max_s: float = FROZEN_MAX_S,
    python: str = sys.executable,
    groups: Optional[str] = None,
) -> GuardLink:
    """Start the guard process and return the link to it.

    `rung` forces a rung of the isolation ladder; empty: the best that works here. `hidden` are
    folders that payloads must not see, read again at each start. `groups` is the folder of control
    groups; None: find one, empty: no groups.
    """
    loop = asyncio.get_running_loop()
    if not rung:
        rung = await loop.run_in_executor(None, isolation.best_rung)
    kept = await loop.run_in_executor(None, isolation.keeps_groups, rung)
    if groups is None:  # before the guard starts, because it must be moved too
        groups = cgroups.take_over() if kept else ""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            guard_command(python, theirs.fileno()),
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            env={"PATH": os.environ.get("PATH", DEFAULT_PATH)},
            cwd="/",
            start_new_session=True,  # a signal to the pilot's group is meant for the pilot
        )
    ours.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=ours, limit=NEWS_LINE_MAX)
    link = GuardLink(
        process,
        reader,
        writer,
        rung=rung,
        hidden=hidden,
        life=secrets.token_hex(8),
        frozen_max_s=frozen_max_s,
    )
    if groups:
        link.have_groups(groups)
    return link


def guard_command(python: str, channel: int) -> list[str]:
    """Return the command line of the guard, which imports itself from this pilot's code."""
    return own_code.command(_BOOT, str(channel), python=python)


def _make_parts(folder: Path) -> None:
    for part in (isolation.TMP, isolation.PRIVATE):
        (folder / part).mkdir(mode=0o700, exist_ok=True)


def _limits(assignment: Assignment) -> dict[str, object]:
    """Return the limits of a payload for the guard; 0 means no limit."""
    grant = assignment.grant
    given = {"memory_mb": grant.memory_mb, "scratch_mb": grant.scratch_mb}
    return {**given, **vars(assignment.body.limits)}


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
                detail=ended["detail"],
                warned=ended["warned"],
            ),
        )
    return GuardNews(
        attempt_id,
        started="started" in said,
        not_started=said.get("not_started", ""),
        frozen="frozen" in said,
        thawed="thawed" in said,
        stuck=said.get("stuck", ""),
        warned=said.get("warned", ""),
    )
