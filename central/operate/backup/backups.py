"""`pilotage admin backup` and `restore`: an installation at one moment, and its new life.

A backup is a folder: the store as it was at one moment, the keys, the settings, sites and storages
of the data directory, and the files. It is taken while the central runs. A restore makes a data
directory of it, with a new generation of the store, so that nothing of the time after the backup
ever counts.
"""

import asyncio
import errno
import hashlib
import os
import shutil
import socket
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from pilotage import __version__

from ...identity import derived_secrets, element_issuer, keys, signature
from ...identity.tokens import ADMIN_FILE
from ...observe.times import shown
from ...store import audit as check
from ...store.errors import StoreError
from ...store.sqlite import check as file_check, snapshot
from ..clocks import SystemClock
from ..datadir import RESTORING_FILE, STORE_FILE, locked, running_on
from ..files import RealDisk, sync_folder
from .declared_files import FOLDERS, copy_declared, is_declared

MANIFEST: Final = "backup.json"
BLOBS: Final = "blobs"
CONFIG: Final = "pilotage.yaml"
SETTINGS: Final = "settings.yaml"  # those that lay elsewhere: where they belong a person knows
# What of the data directory goes along beside store and blobs, if it is there.
FILES: Final = (
    keys.FILE,
    element_issuer.FILE,
    signature.FILE,
    derived_secrets.FILE,
    ADMIN_FILE,
    CONFIG,
)
# Made anew by a restore: attempt tokens, broker passwords and renewal secrets of the lost time open
# nothing.
NOT_RESTORED: Final = (derived_secrets.FILE, SETTINGS)
DO_INCOMPLETE: Final = "take another backup, or --incomplete to go on without these files"
PART_BYTES: Final = 1 << 20


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup is, written last: without it the folder is not a backup."""

    version: str  # of the pilotage that made it
    made_at: str
    host: str
    generation: str
    schema: int
    jobs: int
    files: dict[str, str]  # name → SHA-256, store, sites and storages included
    blobs: int
    blob_bytes: int
    blobs_missing: int = 0  # that the store names; they were not there
    without_files: bool = False  # nobody wanted them
    left_out: tuple[str, ...] = ()  # of sites and storages, and why


class BackupRefused(Exception):
    """Nothing was done; the message says why, and what would be right."""


def backup(
    data: Path,
    target: Path,
    *,
    config: Path | None = None,
    blobs: bool = True,
    told: Callable[[str], None] = print,
) -> Manifest:
    """Copy the installation on `data` to the new folder `target`. Raises Refused.

    `config`: a file of settings outside the data directory; else that of the central that runs.
    """
    store = data / STORE_FILE
    if not store.is_file():
        raise BackupRefused(
            f"{data} has no {STORE_FILE}: is it the data directory? See --data. A store in "
            "PostgreSQL is saved by pg_dump (docs/operations/postgresql.md)"
        )
    _require_empty(target, "a backup goes to a new folder")
    if target.resolve().is_relative_to(data.resolve()):
        raise BackupRefused(f"{target} lies in the data directory: it would be lost with it")
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(mode=0o700, parents=True)
        _copy_settings(data, config, partial)
        manifest = _copied(data, partial, blobs=blobs, told=told)
        if target.is_dir():
            target.rmdir()
        partial.rename(target)
        sync_folder(target.parent)
        return manifest
    except (OSError, StoreError, sqlite3.Error) as why:
        raise BackupRefused(f"backup to {target}: {_why(why)}") from why
    finally:  # of what failed, was refused, or was interrupted; what is whole has another name
        shutil.rmtree(partial, ignore_errors=True)


def _copy_settings(data: Path, config: Path | None, folder: Path) -> None:
    """Take the settings along where they lie outside of the data directory."""
    running = running_on(data)
    if config is None and running is not None and running.config:
        config = Path(running.config)
    if config is not None and config.resolve() != (data / CONFIG).resolve():
        _copy(config, folder / SETTINGS)


def _copied(data: Path, folder: Path, *, blobs: bool, told: Callable[[str], None]) -> Manifest:
    told("store")
    copy = folder / STORE_FILE
    asyncio.run(snapshot.snapshot(data / STORE_FILE, copy))
    with file_check.reading(copy) as session:
        wrong = file_check.damage(session, whole=False, over=lambda: False)
        if wrong:
            raise BackupRefused(f"the copy of the store is damaged: {wrong[0]}")
        facts = check.facts(session)
    os.chmod(copy, 0o600)
    for name in FILES:
        if (data / name).is_file():
            _copy(data / name, folder / name)
    left_out = copy_declared(data, folder)
    count, size, missing = 0, 0, 0
    if blobs:
        told("files")
        # After the store: what it names was here before it.
        for blob in _blobs_of(data):
            here = folder / blob.relative_to(data)
            here.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if _linked(blob, here):
                count, size = count + 1, size + here.stat().st_size
        missing = _missing(copy, folder)
    declared = (one for name in FOLDERS for one in (folder / name).rglob("*"))
    found = (one for one in (*folder.iterdir(), *declared) if one.is_file())
    names = sorted(str(one.relative_to(folder)) for one in found)
    manifest = Manifest(
        version=__version__,
        made_at=shown(SystemClock().wall()),
        host=socket.gethostname(),
        generation=facts.generation,
        schema=facts.schema,
        jobs=facts.jobs,
        files={name: _sync_and_hash(folder / name) for name in names},
        blobs=count,
        blob_bytes=size,
        blobs_missing=missing,
        without_files=not blobs,
        left_out=tuple(left_out),
    )
    told("sync")
    _sync_folders(folder)
    text = msgspec.json.format(msgspec.json.encode(manifest))
    RealDisk().write_secret(folder / MANIFEST, text)  # synced, and for nobody else
    return manifest


def _missing(store: Path, folder: Path) -> int:
    """Return how many files a store names that are not in a folder; one may count twice."""
    with file_check.reading(store) as session:
        names = check.blob_names(session)
        return sum(not blob_path(folder, name).is_file() for name in names)


def restore(
    source: Path,
    data: Path,
    *,
    incomplete: bool = False,
    told: Callable[[str], None] = print,
) -> Manifest:
    """Make a data directory of a backup. Raises Refused: onto anything that is there already.

    With `incomplete` files may be missing or damaged in the backup; these are left out.
    """
    manifest = read_manifest(source)
    _require_empty(data, "a restore goes to a new data directory")
    for name, sha256 in manifest.files.items():
        if name not in (*FILES, STORE_FILE, SETTINGS) and not is_declared(name):
            raise BackupRefused(
                f"{source / MANIFEST}: {name!r} is no file of a backup: it was altered"
            )
        if not (source / name).is_file() or _hash(source / name) != sha256:
            raise BackupRefused(
                f"{source / name} is not what {MANIFEST} says: this backup is damaged"
            )
    here = sum(1 for _ in _blobs_of(source))
    if here < manifest.blobs and not incomplete:
        lost = f"{manifest.blobs - here} of {manifest.blobs} files are missing"
        raise BackupRefused(f"{source}: {lost} from this backup: {DO_INCOMPLETE}")
    with locked(data):
        try:
            damaged = _restored(source, data, manifest, told)
            if damaged and not incomplete:
                first = f"{len(damaged)} files are damaged, the first is {damaged[0]}"
                raise BackupRefused(f"{source}: {first}: remove {data}, and {DO_INCOMPLETE}")
            _finish(data)
        except (OSError, StoreError) as why:
            raise BackupRefused(
                f"restore to {data}: {_why(why)}; remove the folder and begin again"
            ) from why
    return manifest


def _restored(
    source: Path, data: Path, manifest: Manifest, told: Callable[[str], None]
) -> list[Path]:
    """Copy all but the word that it is whole; return the files that are not what they are named."""
    damaged: list[Path] = []
    (data / RESTORING_FILE).touch(mode=0o600)
    sync_folder(data)
    told("files")
    for blob in _blobs_of(source):
        here = data / blob.relative_to(source)
        here.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _copy(blob, here)
        if _hash(here) != blob.parent.name + blob.name:
            damaged.append(blob)
            here.unlink()
    for name in manifest.files:
        if name not in (*NOT_RESTORED, STORE_FILE):
            for folder in reversed(Path(name).parents[:-1]):
                (data / folder).mkdir(mode=0o700, exist_ok=True)
            _copy(source / name, data / name)
    told("store")
    # Under its own name only when it is whole and has its new generation.
    fresh = data / f".{STORE_FILE}.restored"
    _copy(source / STORE_FILE, fresh)
    snapshot.renew(fresh, SystemClock().wall())
    _sync_and_hash(fresh)
    _sync_folders(data)
    if fresh.with_name(f"{fresh.name}-wal").exists():
        raise OSError(errno.EBUSY, "the copy of the store was not closed")
    fresh.rename(data / STORE_FILE)
    sync_folder(data)
    return damaged


def _finish(data: Path) -> None:
    (data / RESTORING_FILE).unlink()
    sync_folder(data)


def read_manifest(source: Path) -> Manifest:
    """Return what a backup says of itself. Raises Refused."""
    try:
        return msgspec.json.decode((source / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise BackupRefused(f"{source} is not a backup: it has no {MANIFEST}") from None
    except (OSError, msgspec.DecodeError) as why:
        raise BackupRefused(f"{source / MANIFEST} cannot be read: {why}") from None


def _require_empty(folder: Path, rule: str) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BackupRefused(f"{folder} is there already and not empty: {rule}")


def blob_path(folder: Path, sha256: str) -> Path:
    """Return where a file lies in a data directory or a backup."""
    return folder / BLOBS / sha256[:2] / sha256[2:]


def blobs_damaged(data: Path) -> Iterator[Path]:
    """Read every file, and yield those whose bytes are not those of their name."""
    for blob in _blobs_of(data):
        try:
            if _hash(blob) != blob.parent.name + blob.name:
                yield blob
        except FileNotFoundError:
            continue  # nothing names it any more, and it went


def _blobs_of(folder: Path) -> Iterator[Path]:
    return (one for one in (folder / BLOBS).glob("[0-9a-f][0-9a-f]/*") if one.is_file())


def _linked(source: Path, target: Path) -> bool:
    """Link a file, which is never changed, or copy it; False where it went meanwhile."""
    try:
        try:
            os.link(source, target)
        except OSError as why:
            if why.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
                raise
            _copy(source, target)
            _sync_and_hash(target)
    except FileNotFoundError:
        return False
    return True


def _copy(source: Path, target: Path) -> None:
    """Copy a file; it is only ours to read, or to run, from its first moment on."""
    mode = 0o600 | source.stat().st_mode & 0o100
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as copy, source.open("rb") as original:
        shutil.copyfileobj(original, copy, PART_BYTES)
        copy.flush()
        os.fsync(copy.fileno())


def _hash(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _sync_and_hash(file: Path) -> str:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return _hash(file)


def _sync_folders(folder: Path) -> None:
    for each in (one for one in folder.rglob("*") if one.is_dir()):
        sync_folder(each)
    sync_folder(folder)
    sync_folder(folder.parent)


def _why(why: Exception) -> str:
    return (why.strerror or str(why)) if isinstance(why, OSError) else str(why)
