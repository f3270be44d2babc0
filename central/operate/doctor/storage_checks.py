"""Checks of storages: files with errors, and the storages that are swept."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ...catalogue.storage_sweeps import unswept
from ...catalogue.storages import StorageBook, read_storages
from ...observe.times import span
from ...settings import Settings
from ...store.errors import StoreError
from ..datadir import running_on
from ..storages.setup import FOLDER
from ..storages.tokens import open_keys
from .findings import Finding, fault, ok, warning
from .store_checks import Reading

CHECK: Final = "storages"
PAGE: Final = "see docs/storages.md"
UNKNOWN_SHOWN: Final = 5


def storages(data: Path, settings: Settings, reading: Reading | None = None) -> Iterator[Finding]:
    """Check all storages' files; no storage is asked."""
    said = settings.data.storages
    folder = Path(said) if said else data / FOLDER
    book = read_storages(folder, StorageBook()) if folder.is_dir() else StorageBook()
    if said and not folder.is_dir():
        yield fault(CHECK, f"{folder}: data.storages names it, but it is not a folder", PAGE)
    if reading is not None and not book.unlisted:
        yield from _unknown(folder, book, reading)
    for why in (*book.troubles.values(), *filter(None, [book.unlisted])):
        yield fault(CHECK, why, f"{PAGE}; a running central keeps the file's last valid version")
    if not book.storages:
        return
    for name, entry in book.storages.items():
        if file := open_keys(entry):
            text = f"{name}: other users may read its keys in {file}, which are refused therefore"
            yield fault(CHECK, text, f"chmod 0600 {file}")
    whys = unswept(book)
    for name, entry in book.storages.items():
        if entry.deletes and name in whys:
            yield warning(CHECK, f"{name} has deletes: true, but is not swept: {whys[name]}", PAGE)
    swept = ", ".join(sorted(set(book.storages) - set(whys)))
    after = span(_sweep_after_s(data, settings))
    goes = (
        f"bytes without a file in the catalogue are deleted after {after} from {swept}"
        if swept
        else ("bytes without a file in the catalogue stay: no storage has deletes: true")
    )
    yield ok(CHECK, f"{len(book.storages)} in {folder}; {goes}")


def _unknown(folder: Path, book: StorageBook, reading: Reading) -> Iterator[Finding]:
    """Report storages with copies in the catalogue but without a file."""
    try:
        with reading() as session:
            named = {str(row[0]) for row in session.rows("storages_of_copies", {})}
    except StoreError:
        return  # the check of the store reports it
    unknown = sorted(named - set(book.storages) - set(book.troubles))
    if not unknown:
        return
    more = f" and {len(unknown) - UNKNOWN_SHOWN} more" if len(unknown) > UNKNOWN_SHOWN else ""
    names = f"{', '.join(unknown[:UNKNOWN_SHOWN])}{more}"
    text = f"files have copies on {names}, and {folder} has no file NAME.yaml for it"
    do = "restore it from a backup, or write it again: see docs/storages.md"
    yield warning(CHECK, text, do)


def _sweep_after_s(data: Path, settings: Settings) -> float:
    """Return how long remnants stay, from the running central, else from our settings."""
    running = running_on(data)
    said = running.sweep_after_s if running is not None else 0.0
    return said or settings.data.sweep_after_s
