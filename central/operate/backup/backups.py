"""`pilotage admin backup` and `restore`: copies an installation, and makes a new one of a copy.

A backup is a folder with a snapshot of the store, the keys, the settings, sites and storages of the
data directory, and the blobs. It can be made while the central runs. A restore makes a data
directory from it, with a new generation of the store, so that reports from the time after the
backup do not count.
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
SETTINGS: Final = "settings.yaml"  # from outside the data directory; not restored
# Files of the data directory that are copied besides store and blobs, if they exist.
FILES: Final = (
    keys.FILE,
    element_issuer.FILE,
    signature.FILE,
    derived_secrets.FILE,
    ADMIN_FILE,
    CONFIG,
)
# A restore makes new ones of these: old attempt tokens, broker passwords and renewal secrets become
# invalid.
NOT_RESTORED: Final = (derived_secrets.FILE, SETTINGS)
DO_INCOMPLETE: Final = "use another backup, or --incomplete to restore without these files"
PART_BYTES: Final = 1 << 20


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of a backup; written last, so a folder without it is not a backup."""

    version: str  # of the pilotage that made the backup
    made_at: str
    host: str
    generation: str
    schema: int
    jobs: int
    files: dict[str, str]  # name → SHA-256, of store, keys, settings, sites and storages
    blobs: int
    blob_bytes: int
    blobs_missing: int = 0  # blobs that the store names but that did not exist
    without_files: bool = False  # made with --without-files
    left_out: tuple[str, ...] = ()  # site and storage files, with the reason


class BackupRefused(Exception):
    """Nothing was done; the message gives the reason and the right way."""


def backup(
    data: Path,
    target: Path,
    *,
    config: Path | None = None,
    blobs: bool = True,
    told: Callable[[str], None] = print,
) -> Manifest:
    """Copy the installation on `data` to the new folder `target`. Raises BackupRefused.

    `config`: a file of settings outside the data directory; else that of the running central.
    """
    store = data / STORE_FILE
    if not store.is_file():
        raise BackupRefused(
            f"{data} has no {STORE_FILE}: is it the data directory? See --data. A store in "
            "PostgreSQL is saved by pg_dump (docs/operations/postgresql.md)"
        )
    _require_empty(target, "a backup needs a new folder")
    if target.resolve().is_relative_to(data.resolve()):
        raise BackupRefused(f"{target} is inside the data directory, and would be lost with it")
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
    finally:  # remove a failed, refused or interrupted one; a complete one has been renamed
        shutil.rmtree(partial, ignore_errors=True)


def _copy_settings(data: Path, config: Path | None, folder: Path) -> None:
    """Copy the settings if they are outside of the data directory."""
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
        # After the store: the blobs that it names existed before.
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
    RealDisk().write_secret(folder / MANIFEST, text)  # synced, and with mode 0600
    return manifest


def _missing(store: Path, folder: Path) -> int:
    """Return the number of blobs of a store that are not in a folder; some may count twice."""
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
    """Make a data directory from a backup. Raises BackupRefused, also if `data` is not empty.

    With `incomplete`, missing and damaged blobs of the backup are omitted.
    """
    manifest = read_manifest(source)
    _require_empty(data, "a restore needs a new data directory")
    for name, sha256 in manifest.files.items():
        if name not in (*FILES, STORE_FILE, SETTINGS) and not is_declared(name):
            raise BackupRefused(
                f"{source / MANIFEST}: {name!r} is not a file of a backup: the list was altered"
            )
        if not (source / name).is_file() or _hash(source / name) != sha256:
            raise BackupRefused(f"{source / name} differs from {MANIFEST}: this backup is damaged")
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
                f"restore to {data}: {_why(why)}; remove the folder and start again"
            ) from why
    return manifest


def _restored(
    source: Path, data: Path, manifest: Manifest, told: Callable[[str], None]
) -> list[Path]:
    """Copy all but the mark of completeness; return the blobs whose bytes do not fit their name."""
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
    # It gets its real name when it is complete and has its new generation.
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
    """Return the manifest of a backup. Raises BackupRefused."""
    try:
        return msgspec.json.decode((source / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise BackupRefused(f"{source} is not a backup: it has no {MANIFEST}") from None
    except (OSError, msgspec.DecodeError) as why:
        raise BackupRefused(f"{source / MANIFEST} cannot be read: {why}") from None


def _require_empty(folder: Path, rule: str) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BackupRefused(f"{folder} exists and is not empty: {rule}")


def blob_path(folder: Path, sha256: str) -> Path:
    """Return the path of a blob in a data directory or a backup."""
    return folder / BLOBS / sha256[:2] / sha256[2:]


def blobs_damaged(data: Path) -> Iterator[Path]:
    """Read every blob, and yield those whose bytes do not fit their name."""
    for blob in _blobs_of(data):
        try:
            if _hash(blob) != blob.parent.name + blob.name:
                yield blob
        except FileNotFoundError:
            continue  # it is no longer used and was removed


def _blobs_of(folder: Path) -> Iterator[Path]:
    return (one for one in (folder / BLOBS).glob("[0-9a-f][0-9a-f]/*") if one.is_file())


def _linked(source: Path, target: Path) -> bool:
    """Link a file that never changes, or copy it; return False if it was removed in between."""
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
    """Copy a file; from its first moment only its owner can read it, or run it."""
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
