"""The storages of a central: their files, and messages about them for its log."""

from pathlib import Path

from ...catalogue.remote.storage_http import RemoteStorages
from ...catalogue.storages import StorageBook, Storages
from ...identity.assembly import IdentityDrivers
from ...identity.element_issuer import ElementIssuer
from ...observe.events import Log
from ...ports import Clock, Randomness
from ..files import RealDisk
from .requests import RealStorageHttp
from .tokens import TokensOfStorages, wrong_credential
from .xrdfs import RealXrdfs

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

    return Storages(Path(said) if said else data / FOLDER, changed, wrong_credential)


def remote_storages(
    data: Path,
    storages: Storages,
    identity: IdentityDrivers,
    *,
    clock: Clock,
    randomness: Randomness,
) -> RemoteStorages:
    """Return the drivers with which the central itself works on storages."""
    signer = ElementIssuer(
        data, lambda: identity.address.url, disk=RealDisk(), clock=clock, randomness=randomness
    )
    tokens = TokensOfStorages(
        storages,
        signer=signer,
        requests=identity.requests,
        clock=clock,
        randomness=randomness,
    )
    return RemoteStorages(RealStorageHttp(), tokens, RealXrdfs(), clock)
