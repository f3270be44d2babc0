"""The data of reports: bad copies, removed remnants and published files (PROTOCOL C9)."""

from dataclasses import dataclass

import msgspec

from pilotage.proto.catalogue import BadCatalogueField, Did, ReplicaState
from pilotage.proto.job_states import JobEvent, next_state
from pilotage.proto.messages import Report
from pilotage.proto.storages import PATH_MAX, is_good_path

from ...catalogue import record_files as file_records, record_read as catalogue_read
from ...catalogue.input_resolution import runs_nothing
from ...catalogue.publications import NotPublished, files_of, folder_of
from ...catalogue.record_types import ReplicaChange
from ...catalogue.remnants import RemnantPlace, SweepResult
from ...catalogue.storage_sweeps import SWEEP_TYPE
from ...identity.scope import CountKey
from ...jobs import record as job_records
from ...jobs.definition.rendering import NotReadable, readable
from ...jobs.leases import Lease
from ...jobs.record_types import AttemptChange, AttemptResult, Publication
from ...jobs.verdicts import state_of
from ...observe.events import Log
from ...rucio.outgoing import RucioEntries, going_out, no_servers
from ...store.engine import Store
from ..queue import JobQueue

LEFTOVERS_MAX = 1_000  # of one result
REFUSED = "its data are not published: "


@dataclass(frozen=True)
class DataReports:
    """Checks the data of reports before the reports are written."""

    store: Store
    queue: JobQueue
    log: Log
    sweep_after_s: float = 0.0
    rucio: RucioEntries = no_servers  # servers that get outputs

    async def looked_at(
        self, lease: Lease, report: Report, change: AttemptChange, at: float
    ) -> AttemptChange:
        """Return the change, with its publications or removals if its result is good."""
        if report.bad_copies:
            await self._declare(lease, report, at)
        sweeps = lease.kind.type == SWEEP_TYPE and bool(report.removed)
        if sweeps and isinstance(change, AttemptResult) and not change.failed:
            return self._with_removed(lease, report, change)
        if not report.published or not isinstance(change, AttemptResult) or change.failed:
            return change
        refused = _as_failed(lease, change)
        bodies = await self.store.read(job_records.bodies, [lease.job])
        if lease.job not in bodies:
            return change  # the job is deleted, so the write changes nothing
        kind, owner_id = lease.kind, self.queue.classes[lease.class_id].owner_id
        try:
            job = readable(bodies[lease.job].template, bodies[lease.job].body)
            data = job.data
            if data is None:
                raise NotPublished("the job has no data")
            folder = folder_of(kind.community, self.store.generation, lease.job, lease.epoch)
            files = files_of(
                data,
                report.published,
                folder=folder,
                group=kind.group,
                owner_id=owner_id,
                job=lease.job,
                epoch=lease.epoch,
                copies_only=runs_nothing(job),
            )
        except (NotPublished, NotReadable) as why:
            return msgspec.structs.replace(refused, reason=f"{refused.reason}{why}"[:4_096])
        outgoing = going_out(self.rucio(), kind.community, data, report.published, files)
        publication = Publication(
            community=kind.community,
            files=files,
            refused=refused,
            leftovers=_leftovers(report, folder, kind, owner_id),
            outgoing=outgoing,
        )
        new = change.new
        if any(one.confirm for one in outgoing):
            new = next_state(state_of(lease), JobEvent.PUBLISHING)
        return msgspec.structs.replace(change, new=new, publication=publication)

    def _with_removed(self, lease: Lease, report: Report, change: AttemptResult) -> AttemptResult:
        """Return a result with its removed remnants. The store checks that the job had them."""
        stay = [one for one in report.removed if one.why]
        failed = tuple((one.remnant, one.why) for one in stay if one.tried)
        untried = tuple((one.remnant, one.why) for one in stay if not one.tried)
        gone = tuple(one.remnant for one in report.removed if not one.why)
        if failed:
            why = failed[0][1][:500]
            self.log("remnants_stay", job=lease.job, count=len(failed), why=why)
        swept = SweepResult(gone=gone, failed=failed, untried=untried, after_s=self.sweep_after_s)
        return msgspec.structs.replace(change, swept=swept)

    async def _declare(self, lease: Lease, report: Report, at: float) -> None:
        """Declare reported copies bad if the attempt had to read them and they still exist."""
        inputs = await self.store.read(catalogue_read.inputs_of_job, lease.job)
        ids = [one.file_id for one in inputs]
        rows = await self.store.read(catalogue_read.files_by_id, ids) if ids else {}
        by_did = {row.did: file_id for file_id, row in rows.items()}
        copies = await self.store.read(catalogue_read.replicas_of, ids) if ids else {}
        changes: list[ReplicaChange] = []
        for bad in report.bad_copies:
            try:
                did = Did.parse(bad.did)
            except BadCatalogueField:
                continue
            known = {one.storage: one for one in copies.get(by_did.get(did, 0), [])}
            one = known.get(bad.storage)
            if one is None or one.path != bad.path or one.state is not ReplicaState.AVAILABLE:
                continue
            changes.append(ReplicaChange(did=did, storage=bad.storage, state=ReplicaState.BAD))
            self.log("copy_bad", job=lease.job, did=bad.did, storage=bad.storage, why=bad.why[:500])
        if changes:
            await self.store.write(
                file_records.change_replicas, lease.kind.community, changes[:1_000], at=at
            )


def _leftovers(
    report: Report, folder: str, kind: CountKey, owner_id: int
) -> tuple[RemnantPlace, ...]:
    """Return the places below the attempt's folder where failed uploads may have left bytes."""
    named = {(one.storage, one.path) for one in report.published}
    return tuple(
        RemnantPlace(
            storage=one.storage,
            path=one.path,
            community=kind.community,
            owner_id=owner_id,
            group=kind.group,
        )
        for one in report.leftovers[:LEFTOVERS_MAX]
        if one.path.startswith(f"{folder}/")
        and is_good_path(one.path, PATH_MAX)
        and (one.storage, one.path) not in named
    )


def _as_failed(lease: Lease, change: AttemptResult) -> AttemptResult:
    """Return a result as failed, since the catalogue refuses its data. A retry would not help."""
    event = JobEvent.PAYLOAD_FAILED
    return msgspec.structs.replace(
        change,
        new=next_state(state_of(lease), event),
        event=event.value,
        failed=True,
        reason=REFUSED,
    )


def as_written(change: AttemptChange) -> AttemptChange:
    """Return a successful change in its written form: as refused after a clash."""
    if (
        isinstance(change, AttemptResult)
        and change.publication is not None
        and change.publication.clash
    ):
        return change.publication.as_refused()
    return change
