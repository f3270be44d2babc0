"""Checks of the store: its kind, its durability, and whether its counts agree with its rows."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from ...store import audit as check
from ...store.errors import StoreError
from ...store.migrations import migrations
from ...store.session import Session
from ...store.sqlite import check as file_check, durable
from ..backup.backups import blob_path, blobs_damaged
from ..datadir import STORE_FILE
from .findings import Finding, fault, ok, warning

MISSING_MAX: Final = 1_000  # counted at most
QUICK_S: Final = 20.0  # for a check of the file without --store
WHOLE_S: Final = 4 * 3_600.0
SHOWN: Final = 200  # characters of SQLite's report on damage: its first line names the place
NEWER: Final = "run that version, or restore a backup"
RESTORE: Final = "restore the last backup: see docs/operations/backup.md"
UNSAFE: Final = "acknowledged data may be lost: see docs/operations/alarms.md"

Reading = Callable[[], AbstractContextManager[Session]]


def facts_of(reading: Reading) -> check.StoreFacts | None:
    """Return the store's facts about itself, or None if it cannot be read."""
    try:
        with reading() as session:
            return check.facts(session)
    except StoreError:
        return None


def store_file(data: Path, *, whole: bool) -> Finding:
    """Check the store in a file."""
    path = data / STORE_FILE
    if not path.exists():
        return warning("store", "there is none yet", "pilotage serve makes it at its first start")
    said = str(path)
    until = time.monotonic() + (WHOLE_S if whole else QUICK_S)
    try:
        with file_check.reading(path) as session:
            facts = check.facts(session)
            known = len(migrations("sqlite"))
            said = f"{path.stat().st_size / 1e6:.0f} MB, {_contents(facts, known)}"
            if facts.schema > known:
                return fault("store", said, NEWER)
            wrong = file_check.damage(session, whole=whole, over=lambda: time.monotonic() > until)
    except file_check.CheckUnfinished:
        return warning("store", f"{said}; a full check takes over {QUICK_S:.0f} s", "use --store")
    except (StoreError, sqlite3.Error) as why:
        return fault("store", f"{path}: {why}", RESTORE)
    if wrong:
        return fault("store", f"{said}, damaged: {' '.join(wrong[0].split())[:SHOWN]}", RESTORE)
    more = "" if whole else " (use --store for a full check)"
    return ok("store", f"{said}, no problem found{more}")


def _contents(facts: check.StoreFacts, known: int) -> str:
    text = f"{facts.jobs} jobs, schema {facts.schema}"
    if facts.schema > known:
        return f"{text} from a newer pilotage"
    return text if facts.schema == known else f"{text} (will be {known} with the next start)"


def database(reading: Reading, name: str) -> Finding:
    """Check a store in a database."""
    known = len(migrations("postgresql"))
    try:
        with reading() as session:
            facts = check.facts(session)
    except StoreError as why:
        return fault("store", f"{name}: {why}", "see docs/operations/postgresql.md")
    text = f"{name}, {_contents(facts, known)}"
    return fault("store", text, NEWER) if facts.schema > known else ok("store", text)


def durability(data: Path) -> Finding:
    """Check that acknowledged data survives a power cut, by the settings of the store."""
    path = data / STORE_FILE
    try:
        if path.exists():
            with file_check.reading(path) as session:
                mode = file_check.journal_mode(session)
            if mode != "wal":
                return fault("durability", f"the store's journal is {mode}, not wal", UNSAFE)
        return ok("durability", durable.proved(data))
    except (StoreError, OSError) as why:
        return fault("durability", str(why), UNSAFE)


def durability_of_database(url: str) -> Finding:
    """Check the same for a server, by its own settings."""
    from ...store.postgresql import check as database_check

    try:
        with database_check.reading(url) as session:
            return ok("durability", database_check.durability(session))
    except StoreError as why:
        return fault("durability", str(why), UNSAFE)


def files(data: Path, reading: Reading, *, whole: bool) -> Finding:
    """Check that each file that a job names exists; with `whole`, read them all."""
    do = "copy them from a backup, where they have the same names (docs/operations/backup.md)"
    missing: set[str] = set()
    count = 0
    try:
        with reading() as session:
            for name in check.blob_names(session):
                count += 1
                if len(missing) < MISSING_MAX and not blob_path(data, name).is_file():
                    missing.add(name)
        damaged = list(blobs_damaged(data)) if whole else []
    except (StoreError, OSError) as why:
        return fault("files", str(why), RESTORE)
    if missing:
        many = "or more " if len(missing) == MISSING_MAX else ""
        first = blob_path(data, min(missing))
        return fault("files", f"{len(missing)} {many}files are missing, such as {first}", do)
    if damaged:
        return fault("files", f"{len(damaged)} files have wrong bytes, such as {damaged[0]}", do)
    how = ", with the right bytes" if whole else "; use --files to check the bytes"
    return ok("files", f"all files that jobs name exist ({count} names){how}")


def rows(reading: Reading) -> Iterator[Finding]:
    """Compute every count again and yield each difference."""
    try:
        with reading() as session:
            for about, found in check.differences(session):
                if not found:
                    yield ok("rows", about)
                for one in found:
                    yield fault("rows", one, "report this to the developers, with this line")
    except StoreError as why:
        yield fault("rows", str(why), RESTORE)
