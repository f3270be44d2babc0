"""Tokens for storages, from the sources that the storages' files name."""

import base64
import binascii
import os
import urllib.parse
from pathlib import Path
from typing import Final

import msgspec

from ...bounded_cache import BoundedCache
from ...catalogue.remote.storage_http import S3Keys, StorageAway, StorageRefuses, StorageToken
from ...catalogue.storages import KEYS, StorageCredential, StorageEntry, Storages
from ...factory.credential import CredentialSource
from ...factory.credentials.files import OTHERS, read_in, read_private
from ...factory.credentials.issued_tokens import Signer
from ...factory.credentials.sources import options_of, source
from ...factory.errors import BadOptions, CredentialExpired
from ...factory.file_reader import ReaderThread
from ...identity.providers.client_requests import ClientRequests
from ...ports import Clock, Randomness

SOURCES_MAX: Final = 10_000  # tokens in memory, each for other scopes
TOKEN_MAX: Final = 4_096  # characters: many servers take no longer headers
_MODIFY: Final = "storage.modify"
_NARROW: Final = ("issuer", "client")  # sources that give tokens with the scopes asked for
_NOT_GIVEN: Final = ("invalid_scope", "invalid_target")  # RFC 6749, 5.2; RFC 8693


class _Claims(msgspec.Struct):
    """The scopes of a token: one text (WLCG profile 1.3), or a list."""

    scope: str | list[str] = ""


class TokensOfStorages:
    """Gives tokens. Those of our issuer and of a client are as narrow as they are asked for."""

    def __init__(
        self,
        storages: Storages,
        *,
        signer: Signer,
        requests: ClientRequests,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._storages, self._signer, self._requests = storages, signer, requests
        self._clock, self._randomness = clock, randomness
        self._sources = BoundedCache[tuple[str, str, tuple[str, ...]], CredentialSource](
            SOURCES_MAX
        )
        self._wide: dict[str, tuple[StorageCredential | None, str]] = {}  # by storage
        self._reader = ReaderThread()

    async def keys(self, storage: str) -> S3Keys:
        """Return the keys of an object store. Raises StorageAway, StorageRefuses."""
        entry = self._storages.book.storages.get(storage)
        if entry is None or entry.credential is None:
            raise StorageRefuses(f"storage {storage!r} has no credential")
        file = str(entry.credential.options.get("file", ""))
        try:
            path = Path(file)
            lines = (await read_in(self._reader, path, lambda: read_private(path))).split()
        except CredentialExpired as why:
            raise StorageAway(f"credential of storage {storage}: {why.why}") from None
        if len(lines) != 2:
            wrong = f"{file}: found {len(lines)} words, expected the access key and the secret"
            raise StorageRefuses(f"credential of storage {storage}: {wrong}")
        return S3Keys(*lines)

    def width(self, storage: str) -> str:
        """Return how wide the tokens of a storage are, if they are wider than asked for."""
        entry = self._storages.book.storages.get(storage)
        credential, why = self._wide.get(storage, (None, ""))
        return why if entry is not None and entry.credential == credential else ""

    async def token(self, storage: str, scopes: tuple[str, ...]) -> StorageToken:
        """Return a token with these scopes. Raises StorageAway, StorageRefuses."""
        entry = self._storages.book.storages.get(storage)
        if entry is None:
            raise StorageRefuses(f"there is no storage {storage!r} in force")
        if entry.credential is None:
            return StorageToken()
        try:
            found = await self._given(storage, entry, scopes)
        except CredentialExpired as why:
            raise StorageAway(f"credential of storage {storage}: {why.why}") from None
        if len(found.text) > TOKEN_MAX:
            size = f"{len(found.text)} characters, expected at most {TOKEN_MAX}"
            advice = "let its issuer leave out claims, such as groups"
            raise StorageRefuses(f"the token for storage {storage} has {size}: {advice}")
        if _modifies(found.text) and not any(one.startswith(_MODIFY) for one in scopes):
            wide = f"the credential of storage {storage} has {_MODIFY}, which no job may hold"
            raise StorageRefuses(wide)
        return found

    async def _given(
        self, storage: str, entry: StorageEntry, scopes: tuple[str, ...]
    ) -> StorageToken:
        """Return a token as narrow as its source gives one. Raises CredentialExpired."""
        try:
            return await self._of(storage, entry, scopes)
        except CredentialExpired as why:
            if not any(word in str(why) for word in _NOT_GIVEN):
                raise
        kinds = dict.fromkeys(one.partition(":")[0] for one in scopes)
        wide = tuple(f"{kind}:{entry.prefix}" for kind in kinds)
        found = await self._of(storage, entry, wide)
        self._wide[storage] = entry.credential, f"the provider gives only {' '.join(wide)}"
        return found

    async def _of(self, storage: str, entry: StorageEntry, scopes: tuple[str, ...]) -> StorageToken:
        """Return a token of one source. Raises CredentialExpired, StorageRefuses."""
        assert entry.credential is not None
        name, options = entry.credential.source, dict(entry.credential.options)
        if name == "issuer":
            options = {"audience": audience_of(entry.url), "subject": "pilotage", **options}
        if name not in _NARROW:
            why = f"the source {name} gives the same token for all files"
            self._wide[storage] = entry.credential, why
            scopes = ()
        key = (storage, repr(entry.credential), scopes)
        one = self._sources.get(key)
        if one is None:
            try:
                one = source(
                    name,
                    options,
                    scope=scopes if name in _NARROW else None,
                    clock=self._clock,
                    signer=self._signer,
                    requests=self._requests,
                    randomness=self._randomness,
                )
            except BadOptions as why:
                raise StorageRefuses(f"storage {storage}: {why}") from None
            self._sources[key] = one
        found = await one.current()
        return StorageToken(text=found.text, expires_at=found.expires_at)


def wrong_credential(entry: StorageEntry) -> str:
    """Return what is wrong with the credential of a storage, with its field, or nothing."""
    if entry.credential is None:
        return ""
    name, options = entry.credential.source, dict(entry.credential.options)
    if name == KEYS:
        known = list(options) == ["file"] and isinstance(options["file"], str)
        right = "expected {file: /PATH}, a file with access key and secret"
        return "" if known and options["file"][:1] == "/" else f"credential.options: {right}"
    if "scope" in options:
        return "credential.options.scope: each request has its own: remove it"
    if name == "issuer":
        options = {"audience": audience_of(entry.url), **options}
    try:
        options_of(name, options)
    except BadOptions as why:
        return str(why)
    return ""


def open_keys(entry: StorageEntry) -> str:
    """Return the file with a storage's keys if other users may read it; empty: they may not.

    A missing file is no fault here: it may be on another host.
    """
    if entry.credential is None or entry.credential.source != KEYS:
        return ""
    file = str(entry.credential.options.get("file", ""))
    try:
        return file if os.stat(file).st_mode & OTHERS else ""
    except OSError:
        return ""


def audience_of(url: str) -> str:
    """Return the usual audience of a storage: https, host and port (WLCG profile 1.3)."""
    return f"https://{urllib.parse.urlsplit(url).netloc}"


def _modifies(token: str) -> bool:
    """Return whether the holder of a token may replace and remove files."""
    parts = token.split(".")
    if len(parts) != 3:
        return False
    try:
        padded = parts[1] + "=" * (-len(parts[1]) % 4)
        said = msgspec.json.decode(base64.urlsafe_b64decode(padded), type=_Claims).scope
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        return False
    scopes = said.split() if isinstance(said, str) else said
    return any(one.startswith(_MODIFY) for one in scopes)
