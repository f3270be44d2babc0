"""The data directory: who may use it, where things stand in it."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Final

import msgspec

from .files import own_name, remove_left_overs, sync_folder

STORE_FILE: Final = "store.sqlite"
COPIED_FILE: Final = f"{STORE_FILE}.copied"  # what became of it once it was copied elsewhere
LOCK_FILE: Final = "lock"
RUNNING_FILE: Final = "central.json"
STANDBY_FILE: Final = "standby"  # held by who leads here, or will: commands wait for it
RESTORING_FILE: Final = "restore-unfinished"  # there while a restore is under way
_DATABASE: Final = b"the store is in the database that store.url names\n"  # in the lock's file


class DataInUse(Exception):
    """Another central runs on this data directory. Two would hand out the same jobs twice."""

    def __init__(self, data: Path) -> None:
        super().__init__(f"another central runs on {data}: stop it, or take another --data")


class DataDirUnusable(Exception):
    """The data directory cannot be made or written."""

    def __init__(self, data: Path, why: OSError) -> None:
        said = f"cannot be written: {why.strerror}"
        if isinstance(why, (FileExistsError, NotADirectoryError)):
            said = "is a file or lies below one: a folder is needed"
        elif why.filename and Path(why.filename) != data:
            said = f"{why.filename}: {said}"
        super().__init__(f"--data {data}: {said}")
        self.errno = why.errno


class StoreGone(Exception):
    """The data directory has been used, and its store is not there. A new one would be empty."""

    def __init__(self, data: Path, why: str, do: str) -> None:
        super().__init__(f"--data {data}: {why}: {do}; nothing was started")
        self.why, self.do = why, do


def check_whole(data: Path, *, used: Path) -> None:
    """See that a data directory which has been used has its store. Raises StoreGone.

    `used`: a file that every start makes after the store.
    """
    if (data / RESTORING_FILE).exists():
        raise StoreGone(data, "a restore was not finished", "remove the folder and restore again")
    if not used.exists() or (data / STORE_FILE).exists():
        return
    name_it = "name the settings that say which by --config FILE, or it by --set store.url=…"
    if (data / COPIED_FILE).exists():
        raise StoreGone(data, f"{STORE_FILE} was copied to a database", name_it)
    if _has_database(data):
        raise StoreGone(
            data, f"it has keys and no {STORE_FILE}: its store is in a database", name_it
        )
    # Keys of a database's central look the same where it was never started on this disk.
    do = f"is its store in a database? Then {name_it}. Is a disk not mounted? Else restore a backup"
    raise StoreGone(data, f"it has keys, but {STORE_FILE} is gone", do)


def _has_database(data: Path) -> bool:
    """Say whether a central with its store elsewhere has held the data directory."""
    try:
        return (data / LOCK_FILE).read_text() != ""
    except (OSError, UnicodeDecodeError):
        return False


class CentralProcess(msgspec.Struct, frozen=True, kw_only=True):
    """What `central.json` tells programs on this machine about the central that runs here."""

    url: str
    pid: int
    config: str = ""  # the file of its settings, where there is one
    sites: str = ""  # the folder of the sites' files
    sweep_after_s: float = 0.0  # for how long bytes that no file names wait; 0: it has not said


def default_data() -> Path:
    """Return the data directory where none is named."""
    named = os.environ.get("PILOTAGE_DATA")
    return Path(named) if named else Path.home() / ".local" / "share" / "pilotage"


def tighten(data: Path) -> str:
    """Keep others out of the data directory; return the mode that it had, empty if that was so.

    One that somebody made before the first start is often open to all. Raises OSError.
    """
    mode = data.stat().st_mode & 0o7777
    if not mode & 0o077:
        return ""
    data.chmod(mode & ~0o077)
    return f"{mode:04o}"


@contextmanager
def locked(data: Path, *, shared: bool = False) -> Generator[None]:
    """Hold the data directory for this process alone. Raises DataInUse, NoData.

    `shared`: together with others that share it too, since their jobs are kept elsewhere. The file
    says so, for commands that are not told where.
    """
    made = [folder for folder in (data, *data.parents) if not folder.exists()]
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in made:  # else a power cut may take all that we write with our folder's name
            sync_folder(folder.parent)
        lock = (data / LOCK_FILE).open("a+")  # a shared lock wants it read, on NFS
        # Where the store is a link, another data directory may have the same one.
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
            with suppress(OSError):  # where there is no room there is no sign
                os.write(file.fileno(), _DATABASE)
        remove_left_overs(data)
        yield


@contextmanager
def leads_soon(data: Path) -> Generator[None]:
    """Let commands on this machine see that somebody is here who leads, or waits to, or starts.

    They look whether it is held, for an instant, and would be in the way of nobody. Raises OSError.
    """
    with (data / STANDBY_FILE).open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def running_on(data: Path) -> CentralProcess | None:
    """Return what a central on this data directory says of itself; None where none says anything.

    A central that was killed leaves its word behind: whether it lives is another question.
    """
    try:
        return msgspec.json.decode((data / RUNNING_FILE).read_bytes(), type=CentralProcess)
    except (OSError, msgspec.DecodeError):
        return None


def announce(data: Path, running: CentralProcess) -> None:
    """Say in `central.json` where this central listens. Raises OSError; then nothing is said."""
    fresh = data / f".{RUNNING_FILE}.{own_name()}"
    try:
        fresh.write_bytes(msgspec.json.encode(running))
        fresh.replace(data / RUNNING_FILE)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def withdraw(data: Path, pid: int) -> None:
    """Say no more that a central listens: unless it is another process that does."""
    said = running_on(data)
    if said is None or said.pid == pid:
        (data / RUNNING_FILE).unlink(missing_ok=True)
