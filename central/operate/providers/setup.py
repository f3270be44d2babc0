"""The identity providers of a central: their files, keys and secrets."""

import os
import stat
from pathlib import Path
from typing import Final

from ...identity.assembly import IdentityDrivers
from ...identity.providers.client_requests import ClientRequests
from ...identity.providers.metadata import MetadataReader
from ...identity.providers.outside_tokens import OutsideTokens
from ...identity.providers.provider_files import FOLDER, ProviderBook, Providers
from ...identity.providers.provider_keys import ProviderKeys
from ...observe.events import Log
from ...ports import Clock, Randomness
from ...regular_files import read_regular
from .provider_http import RealProviderHttp

SECRET_MAX: Final = 4_096  # bytes of a client's secret


def identity_of(
    said: str, data: Path, *, clock: Clock, randomness: Randomness, log: Log
) -> IdentityDrivers:
    """Return the providers from the folder in the settings, or from the data directory."""
    told = 0

    def changed(book: ProviderBook) -> None:
        nonlocal told
        for name, why in book.troubles.items():
            log("provider_trouble", provider=name, why=why)
        if book.unlisted:
            log("provider_trouble", provider="", why=book.unlisted)
        found = len(book.providers) + len(book.troubles)
        if found or told:  # most centrals have none, and log nothing
            log("providers_read", providers=len(book.providers), troubles=len(book.troubles))
        told = found

    providers = Providers(Path(said) if said else data / FOLDER, changed)
    http = RealProviderHttp()
    requests = ClientRequests(http, MetadataReader(http, clock))
    keys = ProviderKeys(
        providers=providers,
        requests=requests,
        clock=clock,
        randomness=randomness,
        log=log,
    )
    return IdentityDrivers(
        providers=providers,
        requests=requests,
        secret_of=read_secret,
        keys=keys,
        outside=OutsideTokens(providers=providers, keys=keys),
    )


def read_secret(path: str) -> str:
    """Return the secret in a file. Raises OSError, ValueError if others may read it."""
    file = Path(path)
    content = read_regular(file, SECRET_MAX + 1)
    if stat.S_IMODE(os.stat(file).st_mode) & 0o077:
        raise ValueError(f"{path}: other users may read it: chmod 0600 it")
    secret = content.decode(errors="replace").strip()
    if not secret or len(content) > SECRET_MAX or not secret.isprintable():
        raise ValueError(f"{path}: expected one line with the secret of the client")
    return secret
