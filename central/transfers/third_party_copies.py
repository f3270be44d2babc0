"""Copies that storages make among themselves, without a pilot (HTTP third-party copies).

A transfer is tried once in this way if its storage and one with a copy allow it. If it fails, a job
makes the copy. Each transfer stores in a folder of its own, so a copy that a dead leader has left
is found again: a whole one counts, and a part is removed as the folder of an attempt would be.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

from pilotage.proto.catalogue import ReplicaState

from ..catalogue.publications import GENERATION_SHOWN
from ..catalogue.record_types import FileRow, NewFile, NewReplica, ReplicaRow
from ..catalogue.remote.removals import RemoteStorage
from ..catalogue.remote.storage_http import RemoteStorages, StorageAway, StorageRefuses
from ..catalogue.remote.webdav import CopyFailed, DavPlace, StoredSize, WebDav
from ..catalogue.storages import Storages
from ..observe.events import Log
from ..ports import Clock
from ..store.engine import Store
from ..store.errors import StoreBroken, StoreError
from . import record as rule_records
from .own_work import OwnWork
from .record import RuleRow, TransferEnd, TransferRow

COPY_S: Final = 1_800.0  # for one copy, besides the time for its size
BYTES_A_SECOND_MIN: Final = 200_000
_WORDS: Final = {False: "the storage fetches it", True: "the other storage sends it"}


class ThirdPartyCopies:
    """Orders copies between storages, and registers those that are whole."""

    def __init__(
        self,
        *,
        store: Store,
        storages: Storages,
        remote: RemoteStorages,
        work: OwnWork,
        clock: Clock,
        log: Log,
    ) -> None:
        self._store, self._storages, self._remote = store, storages, remote
        self._dav = WebDav(remote.http)
        self._work, self._clock, self._log = work, clock, log

    def starts(
        self, row: RuleRow, transfer: TransferRow, file: FileRow, copies: Sequence[ReplicaRow]
    ) -> bool:
        """Begin to make a copy, or go on; return False if a job has to make it."""
        target = self._copying(transfer.storage)
        if transfer.failures or target is None:
            return False
        for copy in copies:
            source = self._copying(copy.storage)
            is_there = copy.state is ReplicaState.AVAILABLE
            if is_there and source is not None and source.entry.readable:
                made = partial(self._made, row, transfer, file, copy, source, target)
                self._work.start(f"transfer {transfer.transfer_id}", made)
                return True
        return False

    def _copying(self, storage: str) -> RemoteStorage | None:
        """Return a storage that copies by itself; its file says so, of the type `davs` alone."""
        entry = self._storages.book.storages.get(storage)
        if entry is None or not entry.tpc:
            return None
        return RemoteStorage(storage, entry, self._remote)

    async def _made(
        self,
        row: RuleRow,
        transfer: TransferRow,
        file: FileRow,
        copy: ReplicaRow,
        source: RemoteStorage,
        target: RemoteStorage,
    ) -> None:
        """Make one copy, and end its transfer. Raises only what concerns the whole store."""
        folder = folder_of_transfer(row.rule.community, self._store.generation, transfer)
        path = f"{folder}/{file.did.name.rpartition('/')[2]}"
        try:
            to = await target.place(path, ("create", folder))
            await self._copy(file, copy, source, to)
        except (StorageAway, StorageRefuses, CopyFailed) as why:
            said = f"{copy.storage} to {transfer.storage} without a pilot: {why}"
            await self._end(TransferEnd(transfer=transfer, rule=row.rule, folder=folder, why=said))
            return
        new = NewFile(
            did=file.did,
            bytes=file.bytes,
            adler32=file.adler32,
            sha256=file.sha256,
            replicas=(NewReplica(storage=transfer.storage, path=path),),
            owner_id=row.rule.owner.owner_id,
        )
        end = TransferEnd(transfer=transfer, rule=row.rule, folder=folder, copy=new)
        await self._end(end)

    async def _copy(
        self, file: FileRow, copy: ReplicaRow, source: RemoteStorage, to: DavPlace
    ) -> None:
        """Make a copy that is whole, or find it. Raises CopyFailed, StorageAway, StorageRefuses."""
        stored = await self._dav.size(to)
        if stored is None:
            at = await source.place(copy.path, ("read", copy.path))
            whole_s = COPY_S + file.bytes / BYTES_A_SECOND_MIN
            whys: list[str] = []
            for is_push in (False, True):
                try:
                    await self._dav.copy(at, to, is_push=is_push, whole_s=whole_s)
                    break
                except (CopyFailed, StorageRefuses, StorageAway) as why:
                    whys.append(f"{_WORDS[is_push]}: {why}")
            else:
                raise CopyFailed("; ".join(whys))
            stored = await self._dav.size(to)
        wrong = _difference(file, stored)
        if wrong:
            raise CopyFailed(wrong)

    async def _end(self, end: TransferEnd) -> None:
        """End a transfer; what a failed one has left will be swept."""
        try:
            why = await self._store.write(rule_records.end_third_party, end, at=self._clock.wall())
        except StoreBroken:
            raise
        except StoreError as trouble:  # the next turn begins it again
            self._log("rules_wait", why=f"transfer {end.transfer.transfer_id}: {trouble}")
            return
        if why:
            self._log("transfer_failed", job=0, storage=end.transfer.storage, why=why)


def _difference(file: FileRow, stored: StoredSize | None) -> str:
    """Return how a stored copy differs from the file; empty: it does not."""
    if stored is None:
        return "the storages confirmed the copy, but it is not there"
    if stored.size != file.bytes:
        return f"{stored.size} bytes are stored, but the file has {file.bytes}"
    if stored.adler32 and file.adler32 and stored.adler32 != file.adler32:
        return f"the stored copy has the adler32 {stored.adler32}, but the file {file.adler32}"
    return ""


def folder_of_transfer(community: str, generation: str, transfer: TransferRow) -> str:
    """Return the folder in which one try of a transfer stores; no job has such a folder."""
    shown = generation[:GENERATION_SHOWN]
    return f"{community}/{shown}/t{transfer.transfer_id}/{transfer.failures}"
