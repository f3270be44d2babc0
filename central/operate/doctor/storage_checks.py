"""What `pilotage doctor` says of storages: files that do not read, and which are swept."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ...catalogue.storages import StorageBook, read_storages
from ...catalogue.sweeping import unswept
from ...observe.times import span
from ...settings import Settings
from ...store.errors import StoreError
from ..datadir import running_on
from ..storage_setup import FOLDER
from .findings import Finding, fault, ok, warning
from .store_checks import Reading

CHECK: Final = "storages"
PAGE: Final = "see docs/storages.md"
UNKNOWN_SHOWN: Final = 5


def storages(data: Path, settings: Settings, reading: Reading | None = None) -> Iterator[Finding]:
    """Look at all storages' files; nothing is asked of a storage."""
    said = settings.data.storages
    folder = Path(said) if said else data / FOLDER
    book = read_storages(folder, StorageBook()) if folder.is_dir() else StorageBook()
    if said and not folder.is_dir():
        yield fault(CHECK, f"{folder}: data.storages names it, and it is no folder", PAGE)
    if reading is not None and not book.unlisted:
        yield from _unknown(folder, book, reading)
    for why in (*book.troubles.values(), *filter(None, [book.unlisted])):
        yield fault(CHECK, why, f"{PAGE}; a running central keeps what the file said before")
    if not book.storages:
        return
    whys = unswept(book)
    for name, entry in book.storages.items():
        if entry.deletes and name in whys:
            yield warning(CHECK, f"{name} says deletes: true, and is not swept: {whys[name]}", PAGE)
    swept = ", ".join(sorted(set(book.storages) - set(whys)))
    after = span(_sweep_after_s(data, settings))
    goes = (
        f"bytes that no file names go after {after} from {swept}"
        if swept
        else ("bytes that no file names stay: no file says deletes: true")
    )
    yield ok(CHECK, f"{len(book.storages)} in {folder}; {goes}")


def _unknown(folder: Path, book: StorageBook, reading: Reading) -> Iterator[Finding]:
    """Name storages of which the catalogue has copies, and no file speaks."""
    try:
        with reading() as session:
            named = {str(row[0]) for row in session.rows("storages_of_copies", {})}
    except StoreError:
        return  # the store's own check says so
    unknown = sorted(named - set(book.storages) - set(book.troubles))
    if not unknown:
        return
    more = f" and {len(unknown) - UNKNOWN_SHOWN} more" if len(unknown) > UNKNOWN_SHOWN else ""
    names = f"{', '.join(unknown[:UNKNOWN_SHOWN])}{more}"
    said = f"files have copies on {names}, and {folder} has no file NAME.yaml of that name"
    do = "put it back from a backup, or write one that says where it was: see docs/storages.md"
    yield warning(CHECK, said, do)


def _sweep_after_s(data: Path, settings: Settings) -> float:
    """Return for how long remnants wait: by the central that runs here, else by our settings."""
    running = running_on(data)
    said = running.sweep_after_s if running is not None else 0.0
    return said or settings.data.sweep_after_s
