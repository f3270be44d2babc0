"""What the shell is told: stable numbers, documented in docs/cli.md."""

import enum

from ..client.errors import (
    BadAnswer,
    BadDownload,
    ClientError,
    JobsHeld,
    NoCentral,
    NoCopy,
    Refused,
    StorageTrouble,
    TimedOut,
    Unreachable,
)


class Exit(enum.IntEnum):
    """The exit code of every command."""

    OK = 0
    FAILED = 1  # a job ended Failed or Killed, or a goal was missed
    USAGE = 2  # the command line, a job file or a credentials file is wrong
    REFUSED = 3  # the central said no
    NO_CONNECTION = 4  # nobody answered, or not a central
    TIMEOUT = 5
    HELD = 6  # a job that was waited for is Held, and goes on only when somebody releases it
    INTERRUPTED = 130  # Ctrl-C, as shells have it


class UsageError(ClientError):
    """The command line asks for something that makes no sense; the message says what would."""


class RefusedHere(ClientError):
    """An installation on this machine refuses it; the message says why."""


_CODES: tuple[tuple[type[ClientError], Exit], ...] = (
    (Refused, Exit.REFUSED),
    (RefusedHere, Exit.REFUSED),
    (TimedOut, Exit.TIMEOUT),
    (JobsHeld, Exit.HELD),
    (Unreachable, Exit.NO_CONNECTION),
    (NoCentral, Exit.NO_CONNECTION),
    (BadAnswer, Exit.NO_CONNECTION),
    (BadDownload, Exit.NO_CONNECTION),
    (StorageTrouble, Exit.NO_CONNECTION),
    (NoCopy, Exit.NO_CONNECTION),
)


def exit_code_of(error: ClientError) -> Exit:
    """Return the exit code for an error; what is not of the central is of the caller."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), Exit.USAGE)
