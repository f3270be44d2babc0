"""The search for the program of a payload's command, in its own thread.

Command and PATH come from the job, and may lead to a file system that does not answer. Neither the
guard nor the pilot's loop may wait for that: only a thread does, and its payload is not started
meanwhile.
"""

import asyncio
import contextlib
import os
import stat
import threading
from collections.abc import Callable

from .worker_thread import GoOn, WorkAbandoned, always

PATIENCE_S = 30.0  # after this time, the search may never end
FRESH_S = 5.0  # results are reused for this time, because short payloads come by the hundred
KNOWN_MAX = 1_000
STUCK_MAX = 64  # abandoned threads that have not ended
PROGRAM_BYTES_MAX = 4_096  # the system's limit of a path
PATH_BYTES_MAX = 131_071  # the system's limit of a variable, with its name
_SHOWN = 100  # characters of a text that is too long
_DEAF = "a file system that may contain it does not answer"

Done = Callable[[str, str], None]  # called with the result and the error


class ProgramNotFound(Exception):
    """There is no such program; the message says why."""


class Finder:
    """Searches for programs, each in its own thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        patience_s: float = PATIENCE_S,
        stuck_max: int = STUCK_MAX,
    ) -> None:
        self._loop, self._patience_s, self._stuck_max = loop, patience_s, stuck_max
        self._stuck = 0
        self._known: dict[tuple[str, str], tuple[float, str]] = {}  # when each path was found

    def find(self, program: str, work: str, path: str, done: Done) -> None:
        """Search for a program like `resolve`. `done` is called once, in the loop."""
        look = _Look(program, work, path, done)
        at, found = self._known.get((program, path), (0.0, ""))
        if found and self._loop.time() - at < FRESH_S:
            look.tell(found, "")
            return
        if self._stuck >= self._stuck_max:
            look.tell("", f"{look.shown} was not searched for: {_DEAF}")
            return
        timer = self._loop.call_later(self._patience_s, self._too_long, look)
        thread = threading.Thread(target=self._run, args=(look, timer), name="program", daemon=True)
        try:
            thread.start()
        except RuntimeError as why:  # the user has as many threads as the node allows
            timer.cancel()
            look.tell("", f"{look.shown} was not searched for: {why}")

    def _too_long(self, look: "_Look") -> None:
        self._stuck += 1
        look.tell("", f"{look.shown} was not found within {self._patience_s:g} s: {_DEAF}")

    def _run(self, look: "_Look", timer: asyncio.TimerHandle) -> None:
        found, why = "", f"{look.shown} could not be searched for"
        try:
            found, why = look.look(), ""
        except ProgramNotFound as no:
            why = str(no)
        except WorkAbandoned:
            pass
        finally:  # unexpected errors are reported, and then shown like those of any thread
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
    """One search for a program."""

    def __init__(self, program: str, work: str, path: str, done: Done) -> None:
        self._program, self._work, self._path, self._done = program, work, path, done
        self.key = program, path
        self.shown = program[:_SHOWN]
        self.told = False

    @property
    def is_same_anywhere(self) -> bool:
        """Whether the result does not depend on the folder of the work."""
        where = [self._program] if "/" in self._program else self._path.split(":")
        return all(one.startswith("/") for one in where if one)

    def tell(self, found: str, why: str) -> None:
        """Report the result, unless one was reported before."""
        if not self.told:
            self.told = True
            self._done(found, why)

    def look(self) -> str:
        """Search while somebody waits. Raises ProgramNotFound or WorkAbandoned."""
        return resolve(self._program, self._work, self._path, self._go_on)

    def _go_on(self) -> None:
        if self.told:
            raise WorkAbandoned


def resolve(program: str, work: str, path: str, go_on: GoOn = always) -> str:
    """Return the path of the executable file `program`, with the rules of a shell.

    Relative paths start at the folder `work`. Raises ProgramNotFound, and the errors of `go_on`,
    which is called before each folder.
    """
    for what, text, most in (
        ("the program's name", program, PROGRAM_BYTES_MAX),
        ("PATH", path, PATH_BYTES_MAX),
    ):
        size = len(text.encode("utf-8", "surrogatepass"))
        if size > most:
            begins = f"{what} has {size} bytes and begins with {text[:_SHOWN]!r}"
            raise ProgramNotFound(f"{begins}: the system accepts at most {most}")
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
        except (OSError, ValueError):  # ValueError: no file can have such a name
            continue
        there = True
        if stat.S_ISREG(mode) and os.access(whole, os.X_OK):
            return candidate
    if there:
        raise ProgramNotFound(f"{program} is not an executable file")
    raise ProgramNotFound(f"there is no {program}" + ("" if "/" in program else f" in {path}"))
