"""The port for programs that drivers run: `sbatch`, `condor_submit`, `ssh`.

Programs run without a shell, and never as children of the central: under uvloop a fork copies the
whole process.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

OUTPUT_BYTES_MAX = 16_000_000  # a program's further output is dropped, and `is_cut` is set


class CommandOutcomeUnknown(Exception):
    """The program did not end in time, or contact was lost. It may have had its effect."""


class CommandNotStarted(Exception):
    """The program could not be started, so it had no effect."""


@dataclass(frozen=True)
class CompletedCommand:
    """A program that has ended. A negative code is the signal that ended it."""

    code: int
    out: bytes
    err: bytes
    is_cut: bool = False

    @property
    def text(self) -> str:
        """Its standard output as text; invalid bytes are replaced."""
        return self.out.decode("utf-8", "replace")

    @property
    def complaint(self) -> str:
        """The end of its standard error, or else of its output, in one line."""
        said = self.err.strip() or self.out.strip()
        return " ".join(said.decode("utf-8", "replace").split())[-500:] or f"exit code {self.code}"


class Commands(Protocol):
    """Runs programs, a limited number at a time."""

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        timeout_s: float,
    ) -> CompletedCommand:
        """Run a program to its end, with a clean environment and these additions.

        Raises CommandOutcomeUnknown and CommandNotStarted.
        """
        ...


class RemoteCommands:
    """Commands on another machine. Each word is quoted for the shell that SSH starts there."""

    def __init__(self, commands: Commands, prefix: Sequence[str]) -> None:
        self._commands, self._prefix = commands, tuple(prefix)

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        timeout_s: float,
    ) -> CompletedCommand:
        """Run a program there.

        Raises CommandOutcomeUnknown if the connection broke, and CommandNotStarted.
        """
        given = [f"{name}={value}" for name, value in (environment or {}).items()]
        words = [*(["env", *given] if given else []), *argv]
        done = await self._commands.run(
            [*self._prefix, shlex.join(words)], stdin=stdin, timeout_s=timeout_s
        )
        if done.code == SSH_FAILED:  # of ssh itself, or of a program with the same code
            raise CommandOutcomeUnknown(done.complaint)
        if done.code in SHELL_COULD_NOT:
            raise CommandNotStarted(done.complaint)
        return done


SSH_FAILED = 255
SHELL_COULD_NOT = (126, 127)
