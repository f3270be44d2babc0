"""The folder that takes downloaded outputs. A file gets its name once it is whole."""

import errno
import hashlib
import os
import stat
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from ..errors import FilesClash, FileThere
from ..files import sha256_of
from ..transfers.local_sources import told
from ..transfers.parallel import PARALLEL
from .output_plan import WantedOutput

_NAME_BYTES: Final = 150  # of a name, in the name of its partial file
_NO_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})


class OutputFolder:
    """Writes outputs below a folder, and never through a symbolic link below it.

    A partial file is hidden, and belongs to one process. A later command writes it again. All
    methods block.
    """

    parallel = PARALLEL

    def __init__(self, folder: Path, *, force: bool) -> None:
        self._folder, self._force = folder, force
        self._made: set[Path] = set()

    def path_of(self, one: WantedOutput) -> Path:
        """Return the path of an output."""
        return self._folder / one.place

    def lacking(self, wanted: Sequence[WantedOutput]) -> list[WantedOutput]:
        """Return the outputs that are not here yet.

        Raises FileThere if something else is there, FilesClash for names of partial files.
        """
        if self._folder.exists() and not self._folder.is_dir():
            raise FileThere(f"{self._folder} is a file: outputs of jobs need a folder")
        places = {one.place for one in wanted}
        for one in wanted:  # else one file could take the place of another
            if self._part(one).relative_to(self._folder).as_posix() in places:
                raise FilesClash(f"{one}: another output has the name of its partial file")
        known: dict[PurePosixPath, str] = {}
        lacking, wrong = list[WantedOutput](), list[str]()
        for one in wanted:
            why = self._barrier(PurePosixPath(one.place).parent, known)
            if why:
                wrong.append(f"{one}: {why}")
                continue
            what = self._what_is_at(one)
            if what == "other":
                wrong.append(f"{one}: {self.path_of(one)} exists with other bytes")
            elif what not in ("", "same"):
                wrong.append(f"{one}: {self.path_of(one)} is {what}")
            if what != "same":
                lacking.append(one)
            else:
                self._remove_left(one)
        if wrong:
            remedy = "choose another --to, or replace files with --force (in Python: force=True)"
            raise FileThere(
                told("local files are in the way; nothing was fetched", wrong) + f"; {remedy}"
            )
        return lacking

    def _remove_left(self, one: WantedOutput) -> None:
        """Remove the second name of a whole file, which a killed command has left."""
        part = self._part(one)
        with suppress(FileNotFoundError):
            if os.path.samestat(part.lstat(), self.path_of(one).lstat()):
                part.unlink()

    def _barrier(self, place: PurePosixPath, known: dict[PurePosixPath, str]) -> str:
        """Return what keeps a folder from being made or used; empty if nothing does."""
        if place == PurePosixPath():
            return ""
        if place not in known:
            path = self._folder / place
            known[place] = self._barrier(place.parent, known) or _kind_of(path, "a folder")
        return known[place]

    def _what_is_at(self, one: WantedOutput) -> str:
        """Return what is at a target: nothing (empty), `same`, `other`, or its kind."""
        path = self.path_of(one)
        try:
            found = path.lstat()
        except FileNotFoundError:
            return ""
        if stat.S_ISDIR(found.st_mode):
            return "a folder"
        if stat.S_ISREG(found.st_mode) and found.st_size == one.size:
            with path.open("rb") as file:
                if sha256_of(file) == one.sha256:
                    return "same"
        if self._force:
            return ""
        return "other" if stat.S_ISREG(found.st_mode) else "a symbolic link or a special file"

    def take(self, outputs: Sequence[tuple[WantedOutput, bytes]]) -> None:
        """Write whole outputs."""
        for one, content in outputs:
            with self.receiving(one) as (file, _):
                file.write(content)

    @contextmanager
    def receiving(self, one: WantedOutput) -> Generator[tuple[BinaryIO, Path]]:
        """Give the partial file of an output. At the end of the block it gets its name.

        Raises FileThere if another process fetches it, or if something is there by now.
        """
        target, part = self.path_of(one), self._part(one)
        if target.parent not in self._made:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(target.parent)
        with _opened(part, f"{one}") as file:
            try:
                yield file, part
                file.flush()
                self._publish(one, part, target)
            finally:
                part.unlink(missing_ok=True)

    def _publish(self, one: WantedOutput, part: Path, target: Path) -> None:
        if self._force:
            os.replace(part, target)
            return
        try:
            os.link(part, target)  # a rename would replace a file that came in between
        except FileExistsError:
            if self._what_is_at(one) != "same":
                raise FileThere(f"{one}: {target} exists with other bytes") from None
        except OSError as why:
            if why.errno not in _NO_LINKS:
                raise
            if os.path.lexists(target):
                raise FileThere(f"{one}: {target} exists with other bytes") from None
            os.replace(part, target)

    def _part(self, one: WantedOutput) -> Path:
        target = self.path_of(one)
        key = f"{one.job} {one.name} {one.sha256}"
        digest = hashlib.sha256(key.encode()).hexdigest()[:16]
        name = target.name.encode()[:_NAME_BYTES].decode(errors="ignore")
        return target.with_name(f".{name}.{digest}.part")


def _kind_of(path: Path, wanted: str) -> str:
    """Return why a path is not a folder; empty if it is one, or does not exist."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return ""
    if stat.S_ISDIR(mode):
        return ""
    return f"{path} is {'a symbolic link' if stat.S_ISLNK(mode) else 'a file'}, not {wanted}"


@contextmanager
def _opened(part: Path, what: str) -> Generator[BinaryIO]:
    """Open an empty partial file for this process alone. Raises FileThere."""
    import fcntl  # missing on systems that have no folders as storages either

    while True:
        try:
            handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        except OSError as why:
            if why.errno == errno.ELOOP:
                raise FileThere(f"{what}: {part} is a symbolic link") from None
            raise
        with open(handle, "w+b") as file:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FileThere(f"{what}: another process fetches it to {part.parent}") from None
            except OSError:  # a file system without locks
                pass
            with suppress(FileNotFoundError):
                # Another process may have published the file after it was opened here.
                if os.path.samestat(os.fstat(handle), part.lstat()):
                    os.ftruncate(handle, 0)
                    yield file
                    return
