"""Copies between this machine and storages, by the drivers of pilots in threads.

A cut download continues where it ended if its driver can. Storages with credentials get short-lived
ones from the central, for the paths of this command only. The central notes what is uploaded so,
also to anonymous storages on which only it removes files.
"""

import asyncio
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

from pilotage.pilot.data.drivers import storages
from pilotage.pilot.data.storages import (
    ADLER32,
    SHA256,
    CopyChecksums,
    CopyLocation,
    CreatingStorage,
    Credential,
    CredentialRejected,
    GoOn,
    ResumingStorage,
    Storage,
    StorageError,
    StorageUnavailable,
    sums_of as sums_of,
    verified_by,
)
from pilotage.pilot.files.worker_thread import BackgroundWork
from pilotage.proto.api.data import FileView
from pilotage.proto.api.storages import StorageView
from pilotage.proto.storages import (
    StorageOperation,
    StorageOptions,
    StorageTokenReply,
    StorageTokenRequest,
)

from ..errors import NoCredential, Refused, StorageTrouble
from ..pace import Pace
from ..transport import Transport

T = TypeVar("T")
Checksums = CopyChecksums  # of a whole file
PATIENCE_S: Final = 1_800.0  # for one copy, besides the time for its size
BYTES_A_SECOND_MIN: Final = 200_000
STOPPING_S: Final = 5.0  # until the thread of an interrupted transfer has cleaned up
PATHS_TOGETHER: Final = 50  # in one credential for reading
FRESH_SHARE: Final = 0.75  # of a credential's life, after which it is renewed


class StorageCopies:
    """Copies files from and to storages. Raises StorageTrouble, and OSError for local files."""

    def __init__(self, transport: Transport, pace: Pace) -> None:
        self.transport, self.pace = transport, pace
        self._drivers: dict[str, Storage] = {}
        self._troubles: dict[str, str] = {}  # by type: why it has no driver
        self._credentials: dict[tuple[str, StorageOperation, str], tuple[Credential, float]] = {}
        self._asking = asyncio.Lock()

    async def get(
        self, storage: StorageView, path: str, to: Path, view: FileView, ahead: Sequence[str] = ()
    ) -> Checksums:
        """Copy a file to `to`, after the bytes that are there. Repeats cuts while bytes arrive.

        The strongest checksum of `view` is computed; the other one may be empty.
        `ahead` are paths that are fetched soon: one credential may serve them too.
        """
        driver, size = self.driver(storage), view.bytes
        needed = verified_by(view.adler32, view.sha256)

        def act(place: CopyLocation) -> Callable[[GoOn], Checksums]:
            place = replace(place, verified_by=needed)
            resumes = isinstance(driver, ResumingStorage) and size_of(to) > 0
            fetch = (
                driver.get_rest if resumes and isinstance(driver, ResumingStorage) else driver.get
            )
            return lambda go_on: fetch(place, to, bytes_max=size, go_on=go_on)

        while True:
            before = size_of(to)
            try:
                paths = [path, *(one for one in ahead if one != path)]
                return await self._tried(storage, StorageOperation.READ, paths, act, size)
            except StorageUnavailable as why:
                if size_of(to) <= before:
                    raise StorageTrouble(storage.name, f"{path}: {why}") from None
            except StorageError as why:
                raise StorageTrouble(storage.name, f"{path}: {why}") from None

    async def put(self, storage: StorageView, source: Path, path: str) -> Checksums:
        """Copy a local file to a storage, completely or not at all."""
        driver = self.driver(storage)
        size, sha256 = size_of(source), ""
        if storage.signed_urls:  # the signature of an upload covers the content
            sha256 = (await in_thread(lambda go_on: sums_of(source, go_on), size)).sha256

        def act(place: CopyLocation) -> Callable[[GoOn], Checksums]:
            return lambda go_on: driver.put(source, place, go_on=go_on)

        if storage.deletes and not storage.credential:
            # The central notes the path, so that it removes what a killed command leaves there.
            await self._credential(storage.name, StorageOperation.CREATE, [path], sha256)
        try:
            return await self._tried(
                storage, StorageOperation.CREATE, [path], act, size, sha256=sha256
            )
        except StorageError as why:
            raise StorageTrouble(storage.name, str(why)) from None

    async def drop(self, storage: StorageView, path: str) -> None:
        """Remove a file that was not registered, and its empty folders.

        The central does it if it has noted the upload. Raises StorageTrouble if bytes may stay
        there, which no file of the catalogue names.
        """
        if self._is_noted(storage):
            if not storage.deletes:
                text = f"{path} may stay there: the storage's file does not set deletes: true"
                raise StorageTrouble(storage.name, text)
            return
        driver, place = self.driver(storage), CopyLocation(storage.url, path)

        def act(go_on: GoOn) -> None:
            driver.sweep(place, is_folder=False, go_on=go_on)

        try:
            await in_thread(act, 0)
        except StorageError as why:
            raise StorageTrouble(storage.name, f"{path} may stay there: {why}") from None

    def driver(self, storage: StorageView) -> Storage:
        """Return the driver of a storage. Raises StorageTrouble."""
        if not self._drivers:

            def left_out(_: str, facts: Any) -> None:
                self._troubles[facts["type"]] = facts["why"]

            self._drivers = storages(left_out)
        if storage.type not in self._drivers:
            why = self._troubles.get(storage.type) or f"only {', '.join(sorted(self._drivers))}"
            text = f"this client does not support its type {storage.type!r}: {why}"
            raise StorageTrouble(storage.name, text)
        return self._drivers[storage.type]

    def _is_noted(self, storage: StorageView) -> bool:
        """Return whether uploads are announced to the central, which removes their remains."""
        return bool(storage.credential) or isinstance(self.driver(storage), CreatingStorage)

    async def _tried(
        self,
        storage: StorageView,
        operation: StorageOperation,
        paths: Sequence[str],
        act: Callable[[CopyLocation], Callable[[GoOn], T]],
        size: int,
        *,
        sha256: str = "",
    ) -> T:
        """Copy the first path. If its credential is rejected, try again with a new one.

        The credential for an anonymous storage is empty.
        """
        options = StorageOptions(
            needs_credential=bool(storage.credential),
            checksum=storage.checksum,
            nodes=storage.nodes,
            redirects=storage.redirects,
            signed_urls=storage.signed_urls,
        )
        place = CopyLocation(storage.url, paths[0], options)
        is_upload = operation is StorageOperation.CREATE
        if not (options.needs_credential or (is_upload and self._is_noted(storage))):
            return await in_thread(act(place), size)
        found = await self._credential(storage.name, operation, paths, sha256)
        try:
            return await in_thread(act(replace(place, credential=found)), size)
        except CredentialRejected:
            self._credentials.pop((storage.name, operation, paths[0]), None)
            found = await self._credential(storage.name, operation, paths, sha256)
            return await in_thread(act(replace(place, credential=found)), size)

    async def _credential(
        self, storage: str, operation: StorageOperation, paths: Sequence[str], sha256: str
    ) -> Credential:
        """Return the credential for the first path. A new one serves some of the others too."""
        async with self._asking:
            found, until = self._credentials.get((storage, operation, paths[0]), (None, 0.0))
            if found is not None and self.pace.monotonic() < until:
                return found
            wanted = tuple(paths[:PATHS_TOGETHER])
            asked = StorageTokenRequest(0, 0, storage, operation, wanted, sha256)
            try:
                reply = await self.transport.ask(
                    StorageTokenReply, "POST", "/v1/data/tokens", body=asked
                )
            except Refused as why:
                text = f"the central gives no credential: {why}"
                raise NoCredential(storage, text) from None
            urls = {(one.method, one.path): one.url for one in reply.urls}
            found = Credential(reply.token, urls)
            until = self.pace.monotonic() + FRESH_SHARE * reply.expires_in_s
            for path in wanted:
                self._credentials[storage, operation, path] = found, until
            return found


async def in_thread(act: Callable[[GoOn], T], size: int) -> T:
    """Run `act` in its own thread. Raises its errors, and StorageUnavailable if it hangs.

    If the caller is cancelled, the thread gets some seconds to clean up.
    """
    work = BackgroundWork(act)
    patience_s = PATIENCE_S + size / BYTES_A_SECOND_MIN
    try:
        return await work.result(patience_s)
    except asyncio.CancelledError:
        await work.ends(STOPPING_S)
        raise
    except TimeoutError:
        raise StorageUnavailable(f"it was not finished after {patience_s:.0f} s") from None


def size_of(path: Path) -> int:
    """Return the size of a file in bytes; 0 if there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def difference(view: FileView, found: Checksums) -> tuple[str, object, object] | None:
    """Return the field in which bytes differ from the catalogue, with both values.

    Empty checksums are unknown, but the strongest one of the catalogue must be there.
    """
    needed = verified_by(view.adler32, view.sha256)
    for field, wanted, is_ in (
        ("bytes", view.bytes, found.size_bytes),
        (SHA256, view.sha256, found.sha256),
        (ADLER32, view.adler32, found.adler32),
    ):
        if wanted not in ("", is_) and (is_ != "" or field == needed):
            return field, wanted, is_
    return None


EMPTY_ADLER32: Final = f"{zlib.adler32(b''):08x}"
