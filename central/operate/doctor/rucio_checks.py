"""Checks of the files of Rucio servers: errors, and storages that do not fit."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ...catalogue.storages import StorageBook, read_storages
from ...rucio.files import FOLDER, RucioBook, read_folder_of_rucio
from ...settings import Settings
from ..storages.setup import FOLDER as STORAGES
from .findings import Finding, fault, ok, warning

CHECK: Final = "rucio"
PAGE: Final = "see docs/rucio.md"


def rucio(data: Path, settings: Settings) -> Iterator[Finding]:
    """Check all files of Rucio servers; no server is asked."""
    folder = data / FOLDER
    book = read_folder_of_rucio(folder, RucioBook())
    for why in (*book.troubles.values(), *filter(None, [book.unlisted])):
        yield fault(CHECK, why, f"{PAGE}; a running central keeps the file's last valid version")
    said = settings.data.storages
    storages = read_storages(Path(said) if said else data / STORAGES, StorageBook()).storages
    communities = settings.community.names
    for name, entry in book.entries.items():
        file = folder / f"{name}.yaml"
        if entry.community not in communities:
            known = ", ".join(communities)
            why = f"community: found {entry.community!r}, expected one of {known}"
            yield fault(CHECK, f"{file}: {why}", PAGE)
        for rse, storage in entry.storages.items():
            if storage not in storages:
                why = f"storages.{rse}: there is no storage {storage!r}"
                yield fault(CHECK, f"{file}: {why}", "write storages/NAME.yaml for it")
            elif entry.inputs and storages[storage].deletes:
                why = f"{storage} has deletes: true: `data rm` would delete Rucio's files there"
                yield warning(CHECK, f"{file}: {why}", PAGE)
    if book.entries:
        yield ok(CHECK, f"{len(book.entries)} in {folder}")
