"""Exit codes. They are stable, and documented in docs/cli.md."""

import enum

from ..client.errors import (
    BadAnswer,
    BadDownload,
    ClientError,
    JobsHeld,
    LoginRefused,
    NoCentral,
    NoCopy,
    NotStored,
    Refused,
    StorageTrouble,
    TimedOut,
    Unreachable,
)


class ExitCode(enum.IntEnum):
    """The exit code of every command."""

    OK = 0
    FAILED = 1  # a job ended Failed or Killed, or a goal was missed
    USAGE = 2  # the command line, a job file or a credentials file is wrong
    REFUSED = 3  # the central refused the request
    NO_CONNECTION = 4  # no answer from a central
    TIMEOUT = 5
    HELD = 6  # an awaited job is Held, and needs a person who releases it
    INTERRUPTED = 130  # Ctrl-C, as in shells


class UsageError(ClientError):
    """The command line is wrong. The message gives the right form."""


class RefusedHere(ClientError):
    """An installation on this machine refuses the command. The message says why."""


_CODES: tuple[tuple[type[ClientError], ExitCode], ...] = (
    (Refused, ExitCode.REFUSED),
    (RefusedHere, ExitCode.REFUSED),
    (LoginRefused, ExitCode.REFUSED),
    (TimedOut, ExitCode.TIMEOUT),
    (JobsHeld, ExitCode.HELD),
    (Unreachable, ExitCode.NO_CONNECTION),
    (NoCentral, ExitCode.NO_CONNECTION),
    (BadAnswer, ExitCode.NO_CONNECTION),
    (BadDownload, ExitCode.NO_CONNECTION),
    (StorageTrouble, ExitCode.NO_CONNECTION),
    (NoCopy, ExitCode.NO_CONNECTION),
    (NotStored, ExitCode.NO_CONNECTION),
)


def exit_code_of(error: ClientError) -> ExitCode:
    """Return the exit code for an error. Errors without a code of their own are usage errors."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.USAGE)
