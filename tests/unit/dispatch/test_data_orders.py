"""What pilots are told of data: as much as one answer may hold."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import msgspec
import pytest

from pilotage.central.catalogue import (
    record_read as catalogue_read,
    record_registration as registration,
    record_remnants as remnant_records,
)
from pilotage.central.catalogue.record_types import JobInput, NewFile, NewReplica
from pilotage.central.catalogue.remnants import RemnantRow
from pilotage.central.catalogue.storage_sweeps import SWEEP_TYPE
from pilotage.central.catalogue.storages import StorageBook, StorageEntry, Storages
from pilotage.central.dispatch.turns import assignments
from pilotage.central.dispatch.turns.assignments import Assignments, LeasedJob
from pilotage.central.dispatch.turns.data_orders import DataOrders
from pilotage.central.jobs import record as job_records
from pilotage.central.jobs.leases import Lease
from pilotage.central.jobs.record_types import JobBody
from pilotage.central.sent_messages import Assignment
from pilotage.proto.catalogue import Did, RemnantState
from pilotage.proto.documents.job import DataInput, Job, JobData
from pilotage.proto.storages import DataBody, DataFile
from tests.builders import a_lease
from tests.memory_store import MemoryStore, way


class Orders(DataOrders):
    """Every job with data has a file with a long name."""

    def __init__(self) -> None:
        pass

    async def of(self, lease: Lease) -> DataBody | None:
        file = DataFile(did="a:" + "x" * 1_000, path="x", size_bytes=1, adler32="", sha256="")
        return DataBody(folder=f"local/{lease.job}", inputs=(file,), outputs=())


class Row(msgspec.Struct):
    """What is looked at of a lease."""

    job: int
    has_data: bool
    checkpoint: bool = False


class Told(msgspec.Struct, frozen=True):
    """What is looked at of an assignment."""

    job: int
    data: object = None


class Made(Assignments):
    """Makes assignments of rows."""

    def __init__(self) -> None:
        self._data = Orders()

    def _assignment(self, lease: Lease, body: JobBody) -> Assignment:
        return cast(Assignment, Told(lease.job))


def told(monkeypatch: pytest.MonkeyPatch, bytes_max: int, *has_data: bool) -> list[int]:
    """Return the jobs that the answer holds."""
    monkeypatch.setattr(assignments, "ANSWER_BYTES_MAX", bytes_max)
    monkeypatch.setattr(assignments, "altered", msgspec.structs.replace)
    rows = [Row(job, one) for job, one in enumerate(has_data, start=1)]
    given = asyncio.run(Made().made(cast(list[LeasedJob], [(row, None) for row in rows])))
    return [cast(Any, one).job for one in given]


def test_an_answer_holds_no_more_data_than_a_pilot_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch, 2_500, True, True, True) == [1, 2]
    assert told(monkeypatch, 2_500, True, True, True, False, True) == [1, 2, 4]


def test_one_job_is_always_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch, 10, True) == [1]
    assert told(monkeypatch, 10, True, True) == [1]


class Remnants(MemoryStore):
    """A store in which each job has the same to remove."""

    @way(remnant_records.remnants_of_job)
    async def remnants_of_job(self, plain: Any, job_id: int) -> list[RemnantRow]:
        return [
            RemnantRow(
                remnant_id=number,
                storage="pic",
                path=path,
                community="ctao",
                owner_id=1,
                group="users",
                file_id=file_id,
                bytes=0,
                since=0.0,
                state=RemnantState.SWEEPING,
            )
            for number, (path, file_id) in enumerate(
                {"ctao/1": None, "lhcb/raw": None, "ctao/2/a": 7}.items()
            )
        ]

    @way(job_records.bodies)
    async def bodies(self, plain: Any, job_ids: Sequence[int]) -> dict[int, JobBody]:
        body = msgspec.json.encode(Job(command=("true",), data=JobData()))
        return {job_id: JobBody(job_id=job_id, body=body, template=None) for job_id in job_ids}


@pytest.mark.parametrize(
    ("any_path", "named", "kept", "goes"),
    [
        (False, "pic", "", ["ctao/1", "ctao/2/a"]),
        (True, "pic", "", ["ctao/1", "lhcb/raw", "ctao/2/a"]),
        (True, "pic", "Rucio deletes its files there", ["ctao/1", "lhcb/raw"]),
        (True, "old", "", []),
    ],
)
async def test_a_sweep_is_told_of_what_may_go_now(
    any_path: bool, named: str, kept: str, goes: list[str]
) -> None:
    store, storages = Remnants(), Storages()
    entry = StorageEntry(type="file", url="file:///pic", deletes=True, any_path=any_path)
    storages.book = StorageBook(storages={"pic": entry})
    file = NewFile(
        did=Did("users", "live"),
        bytes=1,
        adler32="00000001",
        replicas=(NewReplica(storage=named, path="ctao/2"),),
    )
    await store.write(registration.register_files, "ctao", [file], at=0.0)
    lease = a_lease()
    lease.kind = lease.kind._replace(type=SWEEP_TYPE)
    told = await DataOrders(store, storages, keeps=lambda storage: kept).of(lease)

    assert told is not None and [one.path for one in told.removals] == goes


class Read(MemoryStore):
    """A store in which a job reads two files of one name, of a task's group."""

    @way(catalogue_read.inputs_of_job)
    async def inputs_of_job(self, plain: Any, job_id: int) -> list[JobInput]:
        return [JobInput(0, 1), JobInput(0, 2)]

    @way(job_records.bodies)
    async def bodies(self, plain: Any, job_ids: Sequence[int]) -> dict[int, JobBody]:
        data = JobData(inputs=(DataInput(query={"run": 1}, to="dl1"),))
        body = msgspec.json.encode(Job(command=("true",), data=data))
        return {job_id: JobBody(job_id=job_id, body=body, template=None) for job_id in job_ids}


async def test_files_of_one_name_are_told_as_a_run_on_one_machine_has_them() -> None:
    store = Read()
    files = [
        NewFile(did=Did("users", f"{job}/clean.txt"), bytes=1, adler32="00000001")
        for job in (129, 130)
    ]
    await store.write(registration.register_files, "ctao", files, at=0.0)
    told = await DataOrders(store, Storages()).of(a_lease())

    assert told is not None
    assert [one.path for one in told.inputs] == ["dl1/clean.txt", "dl1/2-clean.txt"]
