"""The data directory: its lock, and the places of its files."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Final

import msgspec

from .files import own_name, remove_left_overs, sync_folder

STORE_FILE: Final = "store.sqlite"
COPIED_FILE: Final = f"{STORE_FILE}.copied"  # name of the store file after its copy to a database
LOCK_FILE: Final = "lock"
RUNNING_FILE: Final = "central.json"
STANDBY_FILE: Final = "standby"  # locked by a process that leads or will lead; commands wait for it
RESTORING_FILE: Final = "restore-unfinished"  # exists while a restore is under way
_DATABASE: Final = b"the store is in the database that store.url names\n"  # in the lock file


class DataInUse(Exception):
    """Another central runs on this data directory. Two would run the same jobs twice."""

    def __init__(self, data: Path) -> None:
        super().__init__(f"another central runs on {data}: stop it, or use another --data")


class DataDirUnusable(Exception):
    """The data directory cannot be created or written."""

    def __init__(self, data: Path, why: OSError) -> None:
        text = f"cannot be written: {why.strerror}"
        if isinstance(why, (FileExistsError, NotADirectoryError)):
            text = "is a file or below one: a folder is needed"
        elif why.filename and Path(why.filename) != data:
            text = f"{why.filename}: {text}"
        super().__init__(f"--data {data}: {text}")
        self.errno = why.errno


class StoreGone(Exception):
    """The data directory was used before, but its store is missing. A new store would be empty."""

    def __init__(self, data: Path, why: str, do: str) -> None:
        super().__init__(f"--data {data}: {why}: {do}; nothing was started")
        self.why, self.do = why, do


def check_whole(data: Path, *, used: Path) -> None:
    """Check that a used data directory has its store. Raises StoreGone.

    `used`: a file that every start makes after the store.
    """
    if (data / RESTORING_FILE).exists():
        raise StoreGone(data, "a restore was not finished", "remove the folder and restore again")
    if not used.exists() or (data / STORE_FILE).exists():
        return
    name_it = "name it by --set store.url=… or by the settings in --config FILE"
    if (data / COPIED_FILE).exists():
        raise StoreGone(data, f"{STORE_FILE} was copied to a database", name_it)
    if _has_database(data):
        raise StoreGone(
            data, f"it has keys but no {STORE_FILE}: its store is in a database", name_it
        )
    # If the central of a database never started on this disk, its keys look the same.
    do = f"is its store in a database? Then {name_it}. Is a disk not mounted? Else restore a backup"
    raise StoreGone(data, f"it has keys, but {STORE_FILE} is missing", do)


def _has_database(data: Path) -> bool:
    """Return whether a central with its store in a database has locked the data directory."""
    try:
        return (data / LOCK_FILE).read_text() != ""
    except (OSError, UnicodeDecodeError):
        return False


class CentralProcess(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `central.json`: facts for programs on this machine about its central."""

    url: str
    pid: int
    config: str = ""  # the file of its settings; empty: none
    sites: str = ""  # the folder of the sites' files
    sweep_after_s: float = 0.0  # how long files without a catalogue entry stay; 0: unknown


def default_data() -> Path:
    """Return the default data directory."""
    named = os.environ.get("PILOTAGE_DATA")
    return Path(named) if named else Path.home() / ".local" / "share" / "pilotage"


def tighten(data: Path) -> str:
    """Close the data directory to others; return its former mode, or "" if it was closed.

    A folder that was made before the first start is often open to all. Raises OSError.
    """
    mode = data.stat().st_mode & 0o7777
    if not mode & 0o077:
        return ""
    data.chmod(mode & ~0o077)
    return f"{mode:04o}"


@contextmanager
def locked(data: Path, *, shared: bool = False) -> Generator[None]:
    """Lock the data directory for this process alone. Raises DataInUse, DataDirUnusable.

    `shared`: together with other processes that share it, since their jobs are in a database. The
    file records it, for commands without settings.
    """
    try:
        _make(data)
        lock = (data / LOCK_FILE).open("a+")  # on NFS a shared lock needs read access
        # If the store is a link, another data directory may have the same store.
        real = (data / STORE_FILE).resolve().parent
        other = (real / LOCK_FILE).open("a+") if real != data.resolve() else nullcontext()
    except OSError as why:
        raise DataDirUnusable(data, why) from why
    with lock as file, other as beside_store:
        how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        for folder, held in ((data, file), (real, beside_store)):
            try:
                if held is not None:
                    fcntl.flock(held, how | fcntl.LOCK_NB)
            except OSError:
                raise DataInUse(folder) from None
        if shared and not _has_database(data):
            with suppress(OSError):  # the text is not needed, so a full disk does not matter
                os.write(file.fileno(), _DATABASE)
        remove_left_overs(data)
        yield


def _make(data: Path) -> list[Path]:
    """Make the data directory, and return the folders that were missing, the deepest first."""
    missing = [folder for folder in (data, *data.parents) if not folder.exists()]
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in missing:  # else a power cut may remove the folder
        sync_folder(folder.parent)
    return missing


@contextmanager
def new_folders(data: Path) -> Generator[None]:
    """Make the data directory, and remove it again if nothing was put into it. Raises OSError."""
    is_new = not (data / STANDBY_FILE).exists()
    missing = _make(data)
    try:
        yield
    finally:
        with suppress(OSError):
            if is_new and set(os.listdir(data)) <= {STANDBY_FILE}:
                (data / STANDBY_FILE).unlink(missing_ok=True)
            for folder in missing:
                folder.rmdir()  # it keeps folders that are not empty


@contextmanager
def leads_soon(data: Path) -> Generator[None]:
    """Hold a lock that shows commands here that a process leads, waits to lead, or starts.

    Commands test the lock for an instant only, and block no process. Raises OSError.
    """
    with (data / STANDBY_FILE).open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def running_on(data: Path) -> CentralProcess | None:
    """Return the facts that a central on this data directory wrote, or None.

    A killed central leaves its file behind, so the process may be gone.
    """
    try:
        return msgspec.json.decode((data / RUNNING_FILE).read_bytes(), type=CentralProcess)
    except (OSError, msgspec.DecodeError):
        return None


def announce(data: Path, running: CentralProcess) -> None:
    """Write `central.json` with the address of this central. On OSError, nothing is written."""
    fresh = data / f".{RUNNING_FILE}.{own_name()}"
    try:
        fresh.write_bytes(msgspec.json.encode(running))
        fresh.replace(data / RUNNING_FILE)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def withdraw(data: Path, pid: int) -> None:
    """Remove `central.json`, unless it belongs to another process."""
    said = running_on(data)
    if said is None or said.pid == pid:
        (data / RUNNING_FILE).unlink(missing_ok=True)
