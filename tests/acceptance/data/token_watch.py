"""Looks for tokens of storages where none may be: in commands, environments and files."""

import base64
import json
import re
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

EVERY_S: Final = 0.2
_TOKEN: Final = re.compile(rb"eyJ[\w-]+\.(eyJ[\w-]+)\.[\w-]+")


def has_storage_token(text: bytes) -> bool:
    """Return whether a text holds a token that opens a storage."""
    for found in _TOKEN.finditer(text):
        claims = json.loads(base64.urlsafe_b64decode(found[1] + b"=="))
        if "storage." in claims.get("scope", ""):
            return True
    return False


class TokenWatch:
    """Looks again and again while a story runs."""

    def __init__(self, *folders: Path) -> None:
        self._folders = folders
        self._known: dict[Path, tuple[int, int]] = {}
        self._over = threading.Event()
        self.commands = 0  # command lines read
        self.files = 0  # contents of files read
        self.found: set[str] = set()

    def run(self) -> None:
        while not self._over.wait(EVERY_S):
            self.look()

    def end(self) -> None:
        self._over.set()

    def look(self) -> None:
        """Look once."""
        for process in Path("/proc").glob("[0-9]*"):
            for name in ("cmdline", "environ"):
                text = _read(process / name)
                self.commands += bool(text)
                if has_storage_token(text):
                    self.found.add(f"{name} of {_read(process / 'comm').decode().strip()}")
        for file in self._changed():
            self.files += 1
            if has_storage_token(_read(file)):
                self.found.add(str(file))

    def _changed(self) -> Iterator[Path]:
        for folder in self._folders:
            for file in folder.rglob("*"):
                try:
                    if not file.is_file() or file.is_symlink():
                        continue
                    stat = file.stat()
                except OSError:  # it has gone
                    continue
                if self._known.get(file) != (seen := (stat.st_size, stat.st_mtime_ns)):
                    self._known[file] = seen
                    yield file


@contextmanager
def watching(*folders: Path) -> Generator[TokenWatch]:
    """Watch all processes of this machine, and the files of some folders."""
    watch = TokenWatch(*folders)
    thread = threading.Thread(target=watch.run, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.end()
        thread.join()


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""
