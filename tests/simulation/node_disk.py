"""What a pilot leaves on its node: the journal, and the folders of its payloads."""

import errno
import random
from collections.abc import Callable
from pathlib import Path

from tests.fake_pilot import FakeWorkspace

Line = tuple[str, int, bytes]


class DiskJournal:
    """A journal as lines on a disk. What was not synced is lost with the power, or torn."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.synced = 0
        self.full = False
        self.point: Callable[[str], None] = lambda name: None
        self._identity: bytes | None = None

    def copy(self) -> "DiskJournal":
        """Return what another host finds, where two share a folder."""
        other = DiskJournal()
        other.lines, other.synced, other._identity = [*self.lines], self.synced, self._identity
        return other

    def lose_power(self, chance: random.Random) -> None:
        """Of what was not synced some lines may be there; a torn one is left out when read."""
        kept = [line for line in self.lines[self.synced :] if chance.random() < 0.5]
        self.lines[self.synced :] = kept

    # -- pilotage.pilot.ports.Journal -------------------------------------------------------------

    def keep_identity(self, identity: bytes) -> None:
        if self._identity is None:
            self._write()
        else:  # in the room that it has
            self.point("before a write to the journal")
        self._identity = identity
        self.point("after a write of the identity")

    def identity(self) -> bytes | None:
        return self._identity

    def keep_assignment(self, attempt_id: int, entry: bytes) -> None:
        self._append(("assignment", attempt_id, entry))

    def keep_ended(self, attempt_id: int, report: bytes) -> None:
        self._append(("ended", attempt_id, report))

    def forget(self, attempt_id: int) -> None:
        self._append(("forget", attempt_id, b""))

    def sync(self) -> None:
        if self.synced < len(self.lines):
            self.point("before a sync of the journal")
            self.synced = len(self.lines)
            self.point("after a sync of the journal")

    def assignments(self) -> dict[int, bytes]:
        return self._read("assignment")

    def ended(self) -> dict[int, bytes]:
        return self._read("ended")

    def _append(self, line: Line) -> None:
        self._write()
        self.lines.append(line)

    def _write(self) -> None:
        self.point("before a write to the journal")
        if self.full:
            raise OSError(errno.ENOSPC, "the disk of the simulated node is full")

    def _read(self, wanted: str) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        for word, attempt_id, content in self.lines:
            if word == wanted:
                found[attempt_id] = content
            elif word == "forget":
                found.pop(attempt_id, None)
        return found


class NodeFolders(FakeWorkspace):
    """Folders on a disk that can be full."""

    def __init__(self) -> None:
        super().__init__()
        self.full = False

    def make(self, attempt_id: int) -> Path:
        if self.full:
            raise OSError(errno.ENOSPC, "the disk of the simulated node is full")
        return super().make(attempt_id)
