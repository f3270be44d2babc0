"""Finds the program that a payload's command names: on a thread of its own.

Command and PATH are the job's, and may lead to a file system that does not answer any more. The
guard must not wait for that, and neither must the pilot's loop: only a thread does, for so long
that its payload is not started.
"""

import asyncio
import contextlib
import os
import stat
import threading
from collections.abc import Callable

from .worker_thread import GoOn, WorkAbandoned, always

PATIENCE_S = 30.0  # what takes longer may never end
FRESH_S = 5.0  # so long what was found is taken to be there: short payloads come by the hundred
KNOWN_MAX = 1_000
STUCK_MAX = 64  # threads that nobody waits for and that have not ended
PROGRAM_BYTES_MAX = 4_096  # no path is longer for the system
PATH_BYTES_MAX = 131_071  # nor any variable, with its name
_SHOWN = 100  # characters of what is too long
_DEAF = "a file system in which it may lie does not answer"

Done = Callable[[str, str], None]  # what was found, and why nothing was


class ProgramNotFound(Exception):
    """There is no such program; says why."""


class Finder:
    """Looks for programs, each on a thread of its own."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        patience_s: float = PATIENCE_S,
        stuck_max: int = STUCK_MAX,
    ) -> None:
        self._loop, self._patience_s, self._stuck_max = loop, patience_s, stuck_max
        self._stuck = 0
        self._known: dict[tuple[str, str], tuple[float, str]] = {}  # when which path was found

    def find(self, program: str, work: str, path: str, done: Done) -> None:
        """Look for a program as `resolve` does. `done` hears of it once, in the loop."""
        look = _Look(program, work, path, done)
        at, found = self._known.get((program, path), (0.0, ""))
        if found and self._loop.time() - at < FRESH_S:
            look.tell(found, "")
            return
        if self._stuck >= self._stuck_max:
            look.tell("", f"{look.shown} is not looked for: {_DEAF}")
            return
        timer = self._loop.call_later(self._patience_s, self._too_long, look)
        thread = threading.Thread(target=self._run, args=(look, timer), name="program", daemon=True)
        try:
            thread.start()
        except RuntimeError as why:  # the user has as many as the node allows
            timer.cancel()
            look.tell("", f"{look.shown} is not looked for: {why}")

    def _too_long(self, look: "_Look") -> None:
        self._stuck += 1
        look.tell("", f"{look.shown} was not found within {self._patience_s:g} s: {_DEAF}")

    def _run(self, look: "_Look", timer: asyncio.TimerHandle) -> None:
        found, why = "", f"{look.shown} could not be looked for"
        try:
            found, why = look.look(), ""
        except ProgramNotFound as no:
            why = str(no)
        except WorkAbandoned:
            pass
        finally:  # what nobody foresaw is told, and then shown as that of any thread
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._over, look, timer, found, why)

    def _over(self, look: "_Look", timer: asyncio.TimerHandle, found: str, why: str) -> None:
        timer.cancel()
        if look.told:
            self._stuck -= 1
        elif found and look.is_same_anywhere:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            self._known[look.key] = self._loop.time(), found
        look.tell(found, why)


class _Look:
    """One look for a program."""

    def __init__(self, program: str, work: str, path: str, done: Done) -> None:
        self._program, self._work, self._path, self._done = program, work, path, done
        self.key = program, path
        self.shown = program[:_SHOWN]
        self.told = False

    @property
    def is_same_anywhere(self) -> bool:
        """Whether what is found does not depend on the folder of the work."""
        where = [self._program] if "/" in self._program else self._path.split(":")
        return all(one.startswith("/") for one in where if one)

    def tell(self, found: str, why: str) -> None:
        """Say what came of it, if nobody has."""
        if not self.told:
            self.told = True
            self._done(found, why)

    def look(self) -> str:
        """Do it, as long as somebody waits for it. Raises NotFound, GivenUp."""
        return resolve(self._program, self._work, self._path, self._go_on)

    def _go_on(self) -> None:
        if self.told:
            raise WorkAbandoned


def resolve(program: str, work: str, path: str, go_on: GoOn = always) -> str:
    """Return the path of an executable file that `program` names, as a shell would find it.

    What is relative is so to the folder `work`. Raises NotFound, and what `go_on` raises, which is
    asked before each folder.
    """
    for what, text, most in (
        ("the program's name", program, PROGRAM_BYTES_MAX),
        ("PATH", path, PATH_BYTES_MAX),
    ):
        size = len(text.encode("utf-8", "surrogatepass"))
        if size > most:
            begins = f"{what} has {size} bytes and begins with {text[:_SHOWN]!r}"
            raise ProgramNotFound(f"{begins}: the system takes {most} at most")
    if "/" in program:
        candidates = [program]
    else:
        candidates = [os.path.join(folder, program) for folder in path.split(":") if folder]
    there = False
    for candidate in candidates:
        go_on()
        try:
            whole = os.path.join(work, candidate)
            mode = os.stat(whole).st_mode
        except (OSError, ValueError):  # ValueError: no file has such a name
            continue
        there = True
        if stat.S_ISREG(mode) and os.access(whole, os.X_OK):
            return candidate
    if there:
        raise ProgramNotFound(f"{program} is not an executable file")
    raise ProgramNotFound(f"there is no {program}" + ("" if "/" in program else f" in {path}"))
