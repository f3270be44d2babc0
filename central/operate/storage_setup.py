"""The storages of a central: their files, and messages about them for its log."""

from pathlib import Path

from ..catalogue.storages import StorageBook, Storages
from ..observe.events import Log

FOLDER = "storages"  # in the data directory


def storages_of(said: str, data: Path, log: Log) -> Storages:
    """Return the storages from the folder in the settings, or from the data directory."""

    told = 0

    def changed(book: StorageBook) -> None:
        nonlocal told
        for name, why in book.troubles.items():
            log("storage_trouble", storage=name, why=why)
        if book.unlisted:
            log("storage_trouble", storage="", why=book.unlisted)
        found = len(book.storages) + len(book.troubles)
        if found or told:  # most centrals have none, and log nothing
            log("storages_read", storages=len(book.storages), troubles=len(book.troubles))
        told = found

    return Storages(Path(said) if said else data / FOLDER, changed)
