"""Files that others write, read so that none of them holds up the central."""

import errno
import os
import stat
from pathlib import Path


def read_regular(file: Path, most: int) -> bytes:
    """Return the first `most` bytes of a regular file. Raises OSError; of a pipe or device too."""
    # Without O_NONBLOCK to open a pipe waits for its writer.
    opened = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(file))
        with open(opened, "rb", closefd=False) as stream:
            return stream.read(most)
    finally:
        os.close(opened)
