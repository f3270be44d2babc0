"""What survives a restart of the pilot, as small files in one folder.

    identity                the pilot's identity, with its renewal secret
    assignment-ATTEMPT      written before the payload starts
    ended-ATTEMPT           the last report, written before it is sent

A file appears whole or not at all: written aside, synced, renamed, the folder synced. Each carries
the SHA-256 of its content; one that does not fit it is set aside as `torn-NAME` and is named in
`torn`, so that a damaged disk costs an entry and never the pilot.
"""

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Optional

_IDENTITY, _ASSIGNMENT, _ENDED = "identity", "assignment", "ended"


class FileJournal:
    """Driver of ports.Journal."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.torn: list[str] = []  # names of entries that could not be read
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in folder.glob(".new-*"):  # a write that a crash has cut
            left.unlink()

    def keep_identity(self, identity: bytes) -> None:
        self._write(_IDENTITY, identity)

    def identity(self) -> Optional[bytes]:
        return self._read(_IDENTITY)

    def keep_assignment(self, attempt_id: int, entry: bytes) -> None:
        self._write(f"{_ASSIGNMENT}-{attempt_id}", entry)

    def keep_ended(self, attempt_id: int, report: bytes) -> None:
        self._write(f"{_ENDED}-{attempt_id}", report)

    def forget(self, attempt_id: int) -> None:
        for kind in (_ASSIGNMENT, _ENDED):
            with contextlib.suppress(FileNotFoundError):
                (self._folder / f"{kind}-{attempt_id}").unlink()
        self._sync_folder()

    def assignments(self) -> dict[int, bytes]:
        return self._all(_ASSIGNMENT)

    def ended(self) -> dict[int, bytes]:
        return self._all(_ENDED)

    def _all(self, kind: str) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        for path in sorted(self._folder.glob(f"{kind}-[0-9]*")):
            content = self._read(path.name)
            if content is not None:
                found[int(path.name[len(kind) + 1 :])] = content
        return found

    def _write(self, name: str, content: bytes) -> None:
        fresh = self._folder / f".new-{name}"
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(handle, "wb") as file:
            file.write(_digest(content) + b"\n" + content)
            file.flush()
            os.fsync(handle)
        fresh.replace(self._folder / name)
        self._sync_folder()

    def _read(self, name: str) -> Optional[bytes]:
        try:
            whole = (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError:
            self._set_aside(name)
            return None
        digest, newline, content = whole.partition(b"\n")
        if not newline or digest != _digest(content):
            self._set_aside(name)
            return None
        return content

    def _set_aside(self, name: str) -> None:
        self.torn.append(name)
        with contextlib.suppress(OSError):
            os.replace(self._folder / name, self._folder / f"torn-{name}")

    def _sync_folder(self) -> None:
        handle = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
