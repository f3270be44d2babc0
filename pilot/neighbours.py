"""Other pilots of this user on this node: their folders, and what their payloads see.

    ROOT/pilotage-UID/register/NAME    one file for each pilot, which holds a lock on it

ROOT is /tmp, which all pilots of a node share. Each payload hides every folder that is registered
when it starts. An earlier payload does not know folders that are registered later. So a pilot is
hidden from its neighbours only if each of them hides the place of its folder anyway.
"""

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Optional, cast

from .clock import wall as wall_clock
from .folder_aliases import MOUNTS as _MOUNTS, aliases

ROOT = "/tmp"
# Folders of pilots of release 0.1, which are beside these folders but in no register.
_OLD_NAME = re.compile("pilotage-(pilot-.+|[A-Za-z0-9_]{8})")
_OLD_CONTENTS = ("lock", "state", "pilot.sh", "pilot.pyz")
# Folders of batch systems for job scripts. A script contains the one-use secret of a pilot.
_SPOOLS = ("/var/spool/slurmd", "/var/spool/slurm", "/var/spool/pbs", "/var/spool/torque")
_NEEDED = ("/", "/dev", "/etc", "/home", "/opt", "/proc", "/run", "/sys", "/usr", "/var")
_REGISTER = "register"
_ENTRY_BYTES_MAX = 1 << 20
_TICK_S = 2.0


def own_name() -> str:
    """Return the name of the folder for all pilots of this user."""
    return f"pilotage-{os.geteuid()}"


def place_of(state: Path) -> Path:
    """Return the place to hide for a state folder: the user's folder above it, or itself."""
    name = own_name()
    return next((one for one in reversed((state, *state.parents)) if one.name == name), state)


class _Names:
    """The names in a folder, which is read again only after a change."""

    def __init__(self, folder: Path, wall: Callable[[], float]) -> None:
        self._folder, self._names, self._wall = folder, list[str](), wall
        # Time of the folder's last change at the last read; 0: the names may be old.
        self._changed_ns = 0

    def read(self) -> list[str]:
        """Return the names; none if the folder cannot be read."""
        try:
            changed_ns = os.stat(self._folder).st_mtime_ns
            if changed_ns != self._changed_ns:
                self._names = os.listdir(self._folder)
                # The clock of a file system has ticks: another change may have the same time.
                is_over = abs(self._wall() - changed_ns / 1e9) > _TICK_S
                self._changed_ns = changed_ns if is_over else 0
        except OSError:
            self._names, self._changed_ns = [], 0
        return self._names


class Neighbours:
    """The register of this node.

    `fault`: why there is none, or why it is not for the whole node.
    """

    def __init__(
        self, root: str = ROOT, mounts: str = _MOUNTS, wall: Callable[[], float] = wall_clock
    ) -> None:
        self.folder = Path(os.path.realpath(root)) / own_name()
        self._register = self.folder / _REGISTER
        self._known: dict[str, Path] = {}  # the content of an entry never changes
        self._names = _Names(self._register, wall)
        self._own, self._handle = "", -1
        self.fault, self._is_usable = "", False
        try:
            _make_private(self.folder)
            _make_private(self._register)
            self._is_usable = True
        except OSError as why:
            self.fault = f"no register of pilots at {self._register}: {why}"
        if self._is_usable and _is_of_one_job(root, mounts):
            self.fault = f"{root} is private to this batch job: other pilots cannot see it"

    def places(self) -> Iterator[Path]:
        """Yield the registered places. Some may no longer exist."""
        for name in self._names.read() if self._is_usable else ():
            if name not in self._known:
                entry = self._read(name)
                if entry is not None:
                    self._known[name] = Path(entry["place"])
            if name in self._known:
                yield self._known[name]

    def join(self, place: Path, covers: Sequence[Path], common: Sequence[Path] = ()) -> str:
        """Register a pilot, whose payloads will not see `covers`.

        Return which living neighbour may see this pilot's folder; empty: none. `common` are the
        places that all pilots of this batch system hide.
        """
        try:
            if self._is_usable:
                with self._alone():
                    seen_by = self._seen_by(place)
                    self._enter({"place": str(place), "covers": [str(one) for one in covers]})
            else:
                seen_by = _seen_by_old(place)
        except OSError as why:
            return f"this pilot cannot be registered at {self._register}: {why}"
        is_common = _is_below(place, [str(one) for one in common])
        return seen_by or ("" if is_common else self.fault)

    def leave(self) -> None:
        """Release the pilot's entry at its end. Its place stays registered while it exists."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _seen_by(self, place: Path) -> str:
        seen_by, registered = "", set[Path]()
        for name in os.listdir(self._register):
            entry, is_alive = self._read(name), _is_locked(self._register / name)
            if entry is not None and os.path.exists(entry["place"]):
                registered.add(Path(entry["place"]))
            elif not is_alive:
                os.unlink(self._register / name)
            if is_alive and entry is not None and not _is_below(place, entry["covers"]):
                seen_by = f"payloads of the pilot in {entry['place']} may see {place}"
        return _seen_by_old(place, registered) or seen_by

    def _enter(self, entry: dict[str, Any]) -> None:
        """Write the pilot's entry so that it appears complete and locked, or not at all."""
        text = json.dumps(entry).encode()
        name = hashlib.sha256(text + b"%d" % os.getpid()).hexdigest()[:32]
        fresh = self._register / f".{name}"
        self._handle = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        fcntl.flock(self._handle, fcntl.LOCK_EX)
        os.write(self._handle, text)
        fresh.replace(self._register / name)

    def _read(self, name: str) -> Optional[dict[str, Any]]:
        if name.startswith("."):
            return None
        try:
            with open(self._register / name, "rb") as file:
                entry = cast("dict[str, Any]", json.loads(file.read(_ENTRY_BYTES_MAX)))
            place, covers = str(entry["place"]), [*map(str, entry["covers"])]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        # A payload without namespaces can write here: it must not make others hide the node.
        is_ours = place.count("/") > 1 and _owner(place) in (os.geteuid(), None)
        return {"place": place, "covers": covers} if is_ours else None

    @contextlib.contextmanager
    def _alone(self) -> Generator[None, None, None]:
        handle = os.open(self._register, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


class HiddenPaths:
    """The paths that payloads must not see. Each iteration returns the present ones."""

    def __init__(
        self, fixed: Iterable[Path], neighbours: Neighbours, place: Path, mounts: str = _MOUNTS
    ) -> None:
        self._fixed = (place, neighbours.folder, *fixed)
        self._neighbours, self._place, self._mounts = neighbours, place, mounts

    def __iter__(self) -> Iterator[Path]:
        places, old = self._neighbours.places(), old_folders(self._place)
        found = frozenset((*self._fixed, *places, *old))
        return iter(_highest(found, frozenset(aliases(found, self._mounts))))


@functools.lru_cache(maxsize=4)  # payloads start more often than folders appear
def _highest(found: frozenset[Path], seconds: frozenset[Path]) -> tuple[Path, ...]:
    """Return the paths to hide: these, and second names of them that payloads do not need."""
    needed = _needed()
    hidden = found | {one for one in seconds if not any(one in (n, *n.parents) for n in needed)}
    return tuple(sorted(one for one in hidden if hidden.isdisjoint(one.parents)))


def above_job_folders(folders: Iterable[str]) -> Iterator[Path]:
    """Yield the paths to hide for the folders that a batch system made for its jobs.

    It is the folder that contains the folders of all jobs, unless payloads need its other content.
    """
    for folder in folders:
        own = Path(os.path.realpath(folder))
        yield own if own.parent in _needed() else own.parent


def _needed() -> set[Path]:
    return {*map(Path, _NEEDED), Path(os.path.realpath(os.path.expanduser("~")))}


def spools() -> Iterator[Path]:
    """Yield places of other batch jobs' scripts, and of sockets of this user's services."""
    for one in (*_SPOOLS, f"/run/user/{os.geteuid()}"):
        yield Path(os.path.realpath(one))


def old_folders(place: Path) -> list[Path]:
    """Return the folders of pilots of release 0.1 beside a place."""
    with contextlib.suppress(OSError), os.scandir(place.parent) as entries:
        return [
            Path(one.path)
            for one in entries
            if _OLD_NAME.fullmatch(one.name)
            and one.is_dir(follow_symlinks=False)
            and one.stat(follow_symlinks=False).st_uid == os.geteuid()
            and any(os.path.exists(os.path.join(one.path, name)) for name in _OLD_CONTENTS)
            and one.path != str(place)
        ]
    return []


def _seen_by_old(place: Path, registered: Collection[Path] = ()) -> str:
    """Return which living pilot of release 0.1 beside a place may see it; empty: none."""
    for folder in old_folders(place):
        locks = folder / "lock", folder / "state" / "lock"
        if folder not in registered and any(map(_is_locked, locks)):
            return f"payloads of the pilot in {folder} may see {place}: it is of release 0.1"
    return ""


def _make_private(folder: Path) -> None:
    """Create a folder for this user alone. Raises OSError if something else is there."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise PermissionError(
            f"{folder} is not a folder of this user: ask its owner or root to remove it, "
            "or set `register` to a folder that all pilots of the node share"
        )
    if found.st_mode & 0o077:
        os.chmod(folder, 0o700)


def _owner(path: str) -> Optional[int]:
    try:
        return os.lstat(path).st_uid
    except OSError:
        return None


def _is_locked(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def _is_below(place: Path, covers: Sequence[str]) -> bool:
    return any(str(one) in covers for one in (place, *place.parents))


def _is_of_one_job(root: str, mounts: str) -> bool:
    """Return whether a batch system has mounted a folder there that only this job can see."""
    try:
        with open(mounts, encoding="utf-8", errors="replace") as file:
            lines = [line.split() for line in file]
    except OSError:
        return False
    here = [line for line in lines if len(line) > 4 and line[4] == root]
    return any(line[3] != "/" and "btrfs" not in line for line in here)
