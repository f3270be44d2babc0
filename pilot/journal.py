"""The part of the pilot's state that survives its restart.

    identity        the pilot's identity, with its renewal secret: two slots, used in turn
    attempts.log    one line for each event of an attempt, appended

A line is `DIGEST WORD ATTEMPT CONTENT`, with the word `assignment`, `ended` or `forget`. The digest
of the rest of the line reveals a line that a crash has cut or a disk has damaged. Such lines are
skipped and listed in `torn`, so they cost an entry, but never the pilot. One `sync` makes all lines
before it durable: entries that arrive together cost one fdatasync.

If the disk accepts nothing (it is full, or it fails), the journal is `behind`: its content is only
in memory, and each `sync` tries to write all of it again. The pilot continues. Attempts that a
restart would not know then end by their lease.

The identity changes with each use of the renewal secret. It overwrites the older slot, which needs
no space on most file systems. So a full disk does not keep a pilot from renewing its token.
"""

import contextlib
import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Optional

SLOT_BYTES = 4096  # of the identity; a whole block, so that a cut write harms no other slot
LOG_BYTES_MAX = 4 << 20  # then it is rewritten with the rest; bounded by the held attempts
_ASSIGNMENT, _ENDED, _FORGET = b"assignment", b"ended", b"forget"
_IDENTITY, _LOG = "identity", "attempts.log"


def _nobody(_: str) -> None:
    return


class FileJournal:
    """Driver of ports.Journal."""

    def __init__(self, folder: Path, tell: Callable[[str], None] = _nobody) -> None:
        """Open the journal in a folder.

        `tell` is called with the reason when the journal falls behind, and with an empty text when
        it has caught up.
        """
        self._folder, self._tell = folder, tell
        self.torn: list[str] = []  # entries that could not be read
        self.behind = ""  # why the disk lacks our entries; empty: it has them
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in folder.glob(".new-*"):  # a write that a crash has cut
            left.unlink()
        self._kept: dict[bytes, dict[int, bytes]] = {_ASSIGNMENT: {}, _ENDED: {}}
        self._read_log()
        self._handle = self._rewrite()
        self._dirty = False
        self._slot = _Slot()  # the slot that was written last

    def keep_identity(self, identity: bytes) -> None:
        """Write the identity durably. After an OSError, the old identity is still there."""
        slot = _Slot(self._slot.number + 1, identity)
        if self._slot.number:
            self._write_over(slot)
        else:  # there are no slots yet, or no valid one
            slots = [b" " * SLOT_BYTES] * 2
            slots[slot.place] = slot.encoded()
            self._write_whole(_IDENTITY, b"".join(slots))
        self._slot = slot

    def identity(self) -> Optional[bytes]:
        path = self._folder / _IDENTITY
        try:
            written = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError:
            written = b""
        self._slot = max(
            (_slot_in(written[at : at + SLOT_BYTES]) for at in (0, SLOT_BYTES)),
            key=lambda slot: slot.number,
        )
        if self._slot.number:
            return self._slot.identity
        digest, newline, content = written.partition(b"\n")
        if newline and digest == _digest(content):  # from release 0.1, which had no slots
            return content
        self.torn.append(_IDENTITY)
        with contextlib.suppress(OSError):
            path.replace(self._folder / f"torn-{_IDENTITY}")
        return None

    def keep_assignment(self, attempt_id: int, entry: bytes) -> None:
        self._kept[_ASSIGNMENT][attempt_id] = entry
        self._append(_ASSIGNMENT, attempt_id, entry)

    def keep_ended(self, attempt_id: int, report: bytes) -> None:
        self._kept[_ENDED][attempt_id] = report
        self._append(_ENDED, attempt_id, report)

    def forget(self, attempt_id: int) -> None:
        known = [kept.pop(attempt_id, None) for kept in self._kept.values()]
        if any(entry is not None for entry in known):
            # Not worth a sync of its own: an end that returns after a power cut is reported again.
            self._append(_FORGET, attempt_id, b"", needs_sync=False)

    def sync(self) -> None:
        if not self._dirty:
            return
        try:
            if self.behind:
                self._start_anew()
            else:
                os.fdatasync(self._handle)
        except OSError as why:
            self._fall_behind(why)
        else:
            self._dirty = False
            self._set_behind("")

    def assignments(self) -> dict[int, bytes]:
        return dict(self._kept[_ASSIGNMENT])

    def ended(self) -> dict[int, bytes]:
        return dict(self._kept[_ENDED])

    def _append(
        self, word: bytes, attempt_id: int, content: bytes, *, needs_sync: bool = True
    ) -> None:
        self._dirty = self._dirty or needs_sync
        if self.behind:
            return
        line = _line(word, attempt_id, content)
        try:
            if os.write(self._handle, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if os.lseek(self._handle, 0, os.SEEK_CUR) > LOG_BYTES_MAX:
                self._start_anew()
                self._dirty = False
        except OSError as why:
            self._fall_behind(why)

    def _fall_behind(self, why: OSError) -> None:
        """Mark the journal as behind.

        The log may end in half a line, so nothing is appended any more.
        """
        self._dirty = True
        self._set_behind(why.strerror or str(why))

    def _set_behind(self, why: str) -> None:
        if why != self.behind:
            self.behind = why
            self._tell(why)

    def _start_anew(self) -> None:
        handle = self._rewrite()
        os.close(self._handle)
        self._handle = handle

    def _read_log(self) -> None:
        try:
            lines = (self._folder / _LOG).read_bytes().split(b"\n")
        except FileNotFoundError:
            return
        for number, line in enumerate(lines):
            if line:
                self._read_line(number, line)

    def _read_line(self, number: int, line: bytes) -> None:
        digest, _, rest = line.partition(b" ")
        word, _, numbered = rest.partition(b" ")
        attempt_id, _, content = numbered.partition(b" ")
        if digest != _digest(rest):
            self.torn.append(f"{_LOG}:{number + 1}")
        elif word in self._kept:
            self._kept[word][int(attempt_id)] = content
        else:
            for kept in self._kept.values():
                kept.pop(int(attempt_id), None)

    def _rewrite(self) -> int:
        """Write a log of the remaining entries durably, and return a handle to append to it."""
        lines = [
            _line(word, attempt_id, content)
            for word, kept in self._kept.items()
            for attempt_id, content in kept.items()
        ]
        self._write_whole(_LOG, b"".join(lines))
        handle = os.open(self._folder / _LOG, os.O_WRONLY | os.O_CLOEXEC)
        os.lseek(handle, 0, os.SEEK_END)
        return handle

    def _write_over(self, slot: "_Slot") -> None:
        """Overwrite the other slot, in the space that it has."""
        handle = os.open(self._folder / _IDENTITY, os.O_WRONLY | os.O_CLOEXEC)
        try:
            if os.pwrite(handle, slot.encoded(), slot.place * SLOT_BYTES) < SLOT_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fdatasync(handle)
        finally:
            os.close(handle)

    def _write_whole(self, name: str, content: bytes) -> None:
        """Replace a file so that it appears completely or not at all."""
        fresh = self._folder / f".new-{name}"
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with open(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(handle)
        except OSError:
            fresh.unlink()  # it would take space that others need
            raise
        fresh.replace(self._folder / name)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class _Slot(NamedTuple):
    """One stored version of the identity; the number 0 means that there is none."""

    number: int = 0
    identity: bytes = b""

    @property
    def place(self) -> int:
        return self.number % 2

    def encoded(self) -> bytes:
        rest = b"%d %s" % (self.number, self.identity)
        text = _digest(rest) + b" " + rest + b"\n"
        assert b"\n" not in self.identity and len(text) <= SLOT_BYTES, "one line that has room"
        return text.ljust(SLOT_BYTES)


def _slot_in(block: bytes) -> _Slot:
    digest, _, rest = block.partition(b"\n")[0].partition(b" ")
    number, space, identity = rest.partition(b" ")
    if not space or digest != _digest(rest):
        return _Slot()
    return _Slot(int(number), identity)


def _line(word: bytes, attempt_id: int, content: bytes) -> bytes:
    assert b"\n" not in content, "entries are JSON on one line"
    rest = b"%s %d %s" % (word, attempt_id, content)
    return _digest(rest) + b" " + rest + b"\n"


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
