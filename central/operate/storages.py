"""The storages of a central: where their files are, and what its log says of them."""

from pathlib import Path

from ..data.storages import StorageBook, Storages
from ..observe.events import Log

FOLDER = "storages"  # in the data directory


def storages_of(said: str, data: Path, log: Log) -> Storages:
    """Return the storages of the folder that the settings name, or of the data directory."""

    def changed(book: StorageBook) -> None:
        for name, why in book.troubles.items():
            log("storage_trouble", storage=name, why=why)
        if book.unlisted:
            log("storage_trouble", storage="", why=book.unlisted)
        log("storages_read", storages=len(book.storages), troubles=len(book.troubles))

    return Storages(Path(said) if said else data / FOLDER, changed)
