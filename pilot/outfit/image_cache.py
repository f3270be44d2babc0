"""Fetched images on a node, which all pilots of a user share. The folder has, for each image:

    NAME           the image, complete: it gets this name by a rename
    NAME.partial   an image on its way, or the rest of a fetch that was killed
    NAME.lock      locked exclusively by a fetch or a removal, and shared by each payload that runs
                   in the image; the system unlocks it when the process dies

The images used longest ago go first when the folder becomes too large. An image in use stays.
"""

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

from ..files.removal import HEAP, remove
from ..guard import processes
from ..ports import OutfitMissing

BYTES_FREE_MIN = 1_000_000_000  # stay free on the disk
# From here to the start of its payload, nothing but this keeps an image.
GRACE_S = 600.0
AGE_MAX_S = 10 * 86_400.0  # before the node's cleaner of temporary files takes parts of an image
_LOOK_S = 0.2
_PARTIAL, _LOCK, _SIZE = ".partial", ".lock", "bytes"

Watch = Callable[[], str]  # why a fetch must be stopped; empty: it may go on
Fetch = Callable[[Path, Watch], None]  # into an empty folder; raises OutfitMissing


class ImageCache:
    """The folder of fetched images. Its methods may be called from any thread."""

    def __init__(
        self,
        folder: Path,
        bytes_max: int,
        *,
        patience_s: float,
        grace_s: float = GRACE_S,
        bytes_free_min: int = BYTES_FREE_MIN,
    ) -> None:
        self._folder, self._bytes_max = folder, bytes_max
        self._patience_s, self._grace_s, self._free_min = patience_s, grace_s, bytes_free_min

    def lock_of(self, name: str) -> Path:
        """Return the file that a payload in this image keeps locked, shared."""
        return self._folder / f"{name}{_LOCK}"

    def get(self, name: str, fetch: Fetch) -> Path:
        """Return the folder of an image; call `fetch` if no pilot has fetched it yet.

        Raises OutfitMissing.
        """
        try:
            self._open()
            self._trim(0)
            with self._locked(name, fcntl.LOCK_SH):
                if self._touch(name):
                    return self._folder / name
            with self._locked(name, fcntl.LOCK_EX):
                if not self._touch(name):  # otherwise another pilot has fetched it meanwhile
                    self._fetch(name, fetch)
            return self._folder / name
        except OSError as why:
            raise OutfitMissing(f"image cache {self._folder}: {why}") from None

    def _open(self) -> None:
        """Create the folder. Refuse one that others could write to: they could change images."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = self._folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise OutfitMissing(f"image cache {self._folder}: it must be a folder of this user")
        if found.st_mode & 0o077:
            raise OutfitMissing(f"image cache {self._folder}: its mode must be 0700")

    def _fetch(self, name: str, fetch: Fetch) -> None:
        partial = self._folder / f"{name}{_PARTIAL}"
        if not (remove(partial) and remove(self._folder / name)):
            raise OutfitMissing(f"image cache {self._folder}: {name} cannot be removed")
        self._trim(self._free_min - self._free())
        if self._free() < self._free_min:
            raise OutfitMissing(self._full())
        partial.mkdir(mode=0o700)
        try:
            fetch(partial, self._watch(partial))
            size = _size_of(partial)
            if size > self._bytes_max:
                raise OutfitMissing(self._too_large(size))
            self._trim(self._total() + size - self._bytes_max)
            if self._total() + size > self._bytes_max:
                raise OutfitMissing(
                    f"image cache {self._folder}: its images are in use, and with this one it "
                    f"would exceed {self._bytes_max / 1e6:.0f} MB (image_cache_mb)"
                )
            (partial / _SIZE).write_text(f"{size} {processes.boot_id()}")
            os.rename(partial, self._folder / name)
        except BaseException:
            remove(partial)
            raise

    def _watch(self, partial: Path) -> Watch:
        """Return a check of the space that a fetch takes."""
        before = self._free()

        def watch() -> str:
            free = self._free()
            if free < self._free_min:
                return self._full()
            if before - free > self._bytes_max:  # by this fetch, or by others on the disk
                size = _size_of(partial)
                if size > self._bytes_max:
                    return self._too_large(size)
            return ""

        return watch

    def _full(self) -> str:
        free, least = self._free() / 1e6, self._free_min / 1e6
        return f"image cache {self._folder}: {free:.0f} MB free on its disk, expected {least:.0f}"

    def _too_large(self, size: int) -> str:
        most = self._bytes_max / 1e6
        return f"the image has {size / 1e6:.0f} MB or more, expected at most {most:.0f} " + (
            "(image_cache_mb)"
        )

    def _free(self) -> int:
        disk = os.statvfs(self._folder)
        return disk.f_bavail * disk.f_frsize

    # -- removal ---------------------------------------------------------------------------------

    def _trim(self, bytes_wanted: int) -> None:
        """Remove unfinished and old images, and those used longest ago to get this many bytes."""
        self._sweep()
        now, got = time.time(), 0
        for _, name, size in sorted(self._images()):
            old = now - _modified(self._folder / name / _SIZE) > AGE_MAX_S
            if not (old or got < bytes_wanted):
                continue
            with contextlib.suppress(BlockingIOError), self._at_once(name):
                unused_s = time.time() - _modified(self._folder / name)
                if not 0 <= unused_s < self._grace_s:
                    self._remove(name)
                    got += size

    def _remove(self, name: str) -> None:
        """Remove an image. The rename makes sure that nobody finds half of it."""
        partial = self._folder / f"{name}{_PARTIAL}"
        if remove(partial):
            os.rename(self._folder / name, partial)
            remove(partial)

    def _sweep(self) -> None:
        """Remove what killed fetches and removals have left."""
        for one in os.listdir(self._folder):
            path = self._folder / one
            if one.startswith(HEAP) and time.time() - _modified(path) > self._grace_s:
                remove(path)
            if one.endswith(_PARTIAL):
                name = one[: -len(_PARTIAL)]
                with contextlib.suppress(BlockingIOError), self._at_once(name):
                    remove(path)

    def _images(self) -> Iterator[tuple[float, str, int]]:
        """Yield the last use, name and size of each complete image."""
        for one in os.listdir(self._folder):
            with contextlib.suppress(OSError, ValueError):
                size = int((self._folder / one / _SIZE).read_text().split()[0])
                if not one.endswith(_PARTIAL):
                    yield _modified(self._folder / one), one, size

    def _total(self) -> int:
        return sum(size for _, _, size in self._images())

    def _touch(self, name: str) -> bool:
        """Record a use of an image; return whether it is there.

        An image from before a crash of the node may have its name without its content.
        """
        try:
            size, _, boot_id = (self._folder / name / _SIZE).read_text().partition(" ")
            os.utime(self._folder / name)
        except FileNotFoundError:
            return False
        return size.isdecimal() and boot_id == processes.boot_id()

    # -- locks -----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _locked(self, name: str, how: int) -> Generator[None, None, None]:
        """Hold a lock. Raises OutfitMissing if another pilot fetches for too long."""
        deadline = time.monotonic() + self._patience_s
        with self._handle(name) as handle:
            while True:
                try:
                    fcntl.flock(handle, how | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise OutfitMissing(
                            f"another pilot of this node has not fetched it within "
                            f"{self._patience_s:g} s"
                        ) from None
                    time.sleep(_LOOK_S)
            yield

    @contextlib.contextmanager
    def _at_once(self, name: str) -> Generator[None, None, None]:
        """Hold the exclusive lock. Raises BlockingIOError if anyone else has a lock."""
        with self._handle(name) as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield

    @contextlib.contextmanager
    def _handle(self, name: str) -> Generator[int, None, None]:
        handle = os.open(self.lock_of(name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield handle
        finally:
            os.close(handle)


def _modified(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0


def _size_of(folder: Path) -> int:
    """Return the space that a tree takes on the disk."""
    total = 0
    for path, _, files in os.walk(folder):
        for one in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(path, one)).st_blocks * 512
    return total
