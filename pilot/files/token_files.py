"""The tokens of a payload: one file each, in a folder that the payload can read but not change."""

import contextlib
import os
from pathlib import Path

from .removal import remove

TOKENS = "tokens"  # in the folder of an attempt
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def tokens_folder(attempt: Path) -> Path:
    """Return the folder of an attempt's tokens, which exists then. Raises OSError."""
    folder = attempt / TOKENS
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def write_token(attempt: Path, name: str, token: str) -> None:
    """Write a token, in place of an earlier one. Raises OSError; the earlier one then stays.

    The file has mode 0600 from its first moment. A payload reads either token as a whole, because
    the new file gets its name only when it is complete.
    """
    folder = tokens_folder(attempt)
    beside = folder / f".{name}"  # no token has such a name
    with contextlib.suppress(FileNotFoundError):
        os.unlink(beside)
    try:
        with open(os.open(beside, _NEW, 0o600), "w", encoding="ascii") as file:
            file.write(token)
        os.rename(beside, folder / name)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise


def remove_tokens(attempt: Path) -> None:
    """Remove all tokens of an attempt, as far as possible."""
    remove(attempt / TOKENS)
