"""Adds data to assignments: the copies of input files, and the storages for outputs."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypedDict

import msgspec

from pilotage.proto.catalogue import FileState, ReplicaState
from pilotage.proto.documents.job import JobData
from pilotage.proto.storages import (
    Copy,
    DataBody,
    DataFile,
    DataRule,
    Removal,
    StorageAccess,
)

from ...catalogue import record_read as catalogue_read, record_remnants as remnant_records
from ...catalogue.local_paths import PayloadPaths
from ...catalogue.locality import ordered, reaches, writable
from ...catalogue.publications import folder_of
from ...catalogue.record_types import FileRow, ReplicaRow
from ...catalogue.remnants import held_for
from ...catalogue.storage_sweeps import SWEEP_TYPE, swept
from ...catalogue.storages import StorageBook, Storages
from ...jobs import record as job_records
from ...jobs.definition.rendering import job_of, with_id
from ...jobs.leases import Lease
from ...store.engine import Store

# Of data in one answer. It also has up to 16 MiB of bodies, and a pilot accepts 64 MiB.
ANSWER_BYTES_MAX = 40 << 20
COPIES_MAX = 4  # of one file in an answer, since an answer has many files
_GONE = frozenset({FileState.LOST, FileState.REMOVED})


class _Removals(TypedDict, total=False):
    removals: tuple[Removal, ...]
    sweeps: StorageAccess


class DataOrders:
    """Adds data to assignments."""

    def __init__(
        self, store: Store, storages: Storages, *, keeps: Callable[[str], str] = lambda storage: ""
    ) -> None:
        """`keeps` returns why copies of files stay on a storage: only Rucio deletes them there."""
        self._store, self._storages, self._keeps = store, storages, keeps

    async def of(self, lease: Lease) -> DataBody | None:
        """Return the data of an attempt, None if its job is deleted."""
        bodies = await self._store.read(job_records.bodies, [lease.job])
        if lease.job not in bodies:
            return None
        body = bodies[lease.job]
        data = with_id(job_of(body.template, body.body), lease.job).data or JobData()
        book, community = self._storages.book, lease.kind.community
        return DataBody(
            folder=folder_of(community, self._store.generation, lease.job, lease.epoch),
            inputs=tuple(await self._inputs(lease, data, book)),
            outputs=tuple(_rule(book, lease.site, data, i) for i in range(len(data.outputs))),
            **await self._removals(lease, book),
        )

    async def _removals(self, lease: Lease, book: StorageBook) -> "_Removals":
        """Return the files that a sweep job must remove, if its storage still takes part."""
        if lease.kind.type != SWEEP_TYPE:
            return {}
        rows = await self._store.read(remnant_records.remnants_of_job, lease.job)
        known = (
            swept(book, await self._store.read(remnant_records.storages_of_copies)) if rows else {}
        )
        if not rows or rows[0].storage not in known:
            return {}
        any_path = known[rows[0].storage].any_path
        removals = tuple(
            Removal(row.remnant_id, row.path, row.is_folder, row.size_bytes)
            for row in rows
            if not held_for(row, any_path=any_path, kept=self._keeps(row.storage))
        )
        return {"removals": removals, "sweeps": book.access(rows[0].storage)}

    async def _inputs(self, lease: Lease, data: JobData, book: StorageBook) -> list[DataFile]:
        inputs = await self._store.read(catalogue_read.inputs_of_job, lease.job)
        ids = list({one.file_id for one in inputs})
        rows = await self._store.read(catalogue_read.files_by_id, ids) if ids else {}
        copies = await self._store.read(catalogue_read.replicas_of, ids) if ids else {}
        files, places = list[DataFile](), PayloadPaths()
        for one in inputs:
            row = rows.get(one.file_id)
            if row is not None:
                to = data.inputs[one.number].to if one.number < len(data.inputs) else ""
                known = copies.get(one.file_id, [])
                files.append(file_of(row, places.of(row.did.name, to), known, book, lease.site))
        return files


def file_of(
    row: FileRow, path: str, copies: Sequence[ReplicaRow], book: StorageBook, site: str
) -> DataFile:
    """Return an input file with its copies in the order for a site."""
    there: Mapping[str, ReplicaRow] = {
        one.storage: one for one in copies if one.state is ReplicaState.AVAILABLE
    }
    names = ordered(book, site, there)[:COPIES_MAX]
    return DataFile(
        did=str(row.did),
        path=path,
        size_bytes=row.bytes,
        adler32=row.adler32,
        sha256=row.sha256,
        copies=tuple(_copy(book.access(name), there[name].path) for name in names),
        metadata=msgspec.json.encode(row.metadata).decode() if row.metadata else "",
        gone=f"it is {row.state.value}" if row.state in _GONE else "",
    )


def _copy(access: StorageAccess, path: str) -> Copy:
    return Copy(access.storage, access.type, access.url, path, access.options)


def _rule(book: StorageBook, site: str, data: JobData, number: int) -> DataRule:
    out = data.outputs[number]
    names = writable(book, out.storages)
    return DataRule(
        pattern=out.pattern,
        storages=tuple(book.access(one) for one in names if reaches(book.storages[one], site)),
        required=out.required,
        balanced=out.order == "balanced",
        brought=bool(out.did),
    )
