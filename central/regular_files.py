"""Reads files that other users write, so that none of them blocks the central."""

import errno
import os
import stat
from pathlib import Path


def read_regular(file: Path, most: int) -> bytes:
    """Return the first `most` bytes of a regular file.

    Raises OSError, also if it is a pipe or a device.
    """
    # Without O_NONBLOCK, opening a pipe would wait for its writer.
    opened = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(file))
        with open(opened, "rb", closefd=False) as stream:
            return stream.read(most)
    finally:
        os.close(opened)
