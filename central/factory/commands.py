"""The port of programs that drivers run: `sbatch`, `condor_submit`, `ssh`.

Never a shell, and never from the central's own process: a loop of uvloop forks all of it.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

OUTPUT_BYTES_MAX = 16_000_000  # what a program prints beyond that is dropped, and is_cut says so


class CommandOutcomeUnknown(Exception):
    """The program did not end in time, or was lost sight of. What it does may have happened."""


class CommandNotStarted(Exception):
    """The program could not be started: nothing has happened."""


@dataclass(frozen=True)
class CompletedCommand:
    """A program that has ended. A negative code is the signal that ended it."""

    code: int
    out: bytes
    err: bytes
    is_cut: bool = False

    @property
    def text(self) -> str:
        """What it printed, whatever bytes these were."""
        return self.out.decode("utf-8", "replace")

    @property
    def complaint(self) -> str:
        """The last words of its standard error, or else of its output, in one line."""
        said = self.err.strip() or self.out.strip()
        return " ".join(said.decode("utf-8", "replace").split())[-500:] or f"exit code {self.code}"


class Commands(Protocol):
    """Runs programs, some at a time."""

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        timeout_s: float,
    ) -> CompletedCommand:
        """Run a program to its end with a clean environment and these additions.

        Raises NoAnswer and NotStarted.
        """
        ...


class RemoteCommands:
    """Commands on another machine: each word is quoted, because SSH hands them to a shell there."""

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
        """Run a program over there. Raises NoAnswer where the line was cut, and NotStarted."""
        given = [f"{name}={value}" for name, value in (environment or {}).items()]
        words = [*(["env", *given] if given else []), *argv]
        done = await self._commands.run(
            [*self._prefix, shlex.join(words)], stdin=stdin, timeout_s=timeout_s
        )
        if done.code == SSH_FAILED:  # of ssh itself, or of a program that says the same
            raise CommandOutcomeUnknown(done.complaint)
        if done.code in SHELL_COULD_NOT:
            raise CommandNotStarted(done.complaint)
        return done


SSH_FAILED = 255
SHELL_COULD_NOT = (126, 127)
