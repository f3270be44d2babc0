"""Whether a path stays inside a folder when its links are followed, at a bounded cost.

Links in archives and payloads are untrusted. Forty of them with targets of thousands of parts, each
through the one before, take `os.path.realpath` minutes. This module therefore walks paths itself,
ignores everything outside the folder (which may be a disk that does not answer), and counts the
steps.
"""

import errno
import os
from pathlib import Path
from typing import Optional

from ..ports import UnsafePath

LINKS_MAX = 40  # on one path; the system itself follows no more
STEPS_MAX = 1_000_000  # through links, of all paths together: a second or two
_NO_LINK = (errno.EINVAL, errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)


class FolderGuard:
    """Checks paths below one folder, until its steps are used up."""

    def __init__(self, root: Path, *, steps_max: int = STEPS_MAX) -> None:
        self._root = root
        self._base = os.path.realpath(root)  # created by the pilot, without untrusted links
        self._steps_max = self._steps_left = steps_max

    def has(self, path: Path) -> bool:
        """Return whether the real place of `path`, which is named below the root, is inside too.

        Raises UnsafePath once links have taken too many steps.
        """
        at: Optional[str] = self._base
        left, links = _parts(path.relative_to(self._root).as_posix()), 0
        while left and at is not None:
            self._steps_left -= 1 if links else 0
            if self._steps_left < 0:
                raise UnsafePath(f"its links lead through more than {self._steps_max} folders")
            at, target = self._step(at, left.pop())
            if target:
                links += 1
                if links > LINKS_MAX:
                    return False
                left.extend(_parts(target))
                at = "" if target.startswith("/") else at
        return at is not None and self._holds(at)

    def _step(self, at: str, part: str) -> tuple[Optional[str], str]:
        """Return the place of one part, None if outside, and the target if it is a link."""
        if part == "..":
            return at.rpartition("/")[0], ""
        here = f"{at}/{part}"
        if not self._holds(here):
            # The folders above the root belong to the pilot; others are not examined.
            return (here if self._base.startswith(here + "/") else None), ""
        try:
            return at, os.readlink(here)
        except OSError as why:
            return (here if why.errno in _NO_LINK else None), ""

    def _holds(self, at: str) -> bool:
        return at == self._base or at.startswith(self._base + "/")


def _parts(path: str) -> list[str]:
    """Return the parts of a path in reverse order."""
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]
