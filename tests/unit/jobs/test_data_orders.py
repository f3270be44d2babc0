"""What pilots are told of data: as much as one answer may hold."""

import asyncio
from typing import Any, cast

import msgspec
import pytest

from pilotage.central.jobs import assignments
from pilotage.central.jobs.assignments import Assignments, Held
from pilotage.central.jobs.data_orders import DataOrders
from pilotage.central.jobs.leases import Lease
from pilotage.central.saying import Assignment
from pilotage.central.store.records import JobBody
from pilotage.proto.storages import DataBody, DataFile


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
    given = asyncio.run(Made().made(cast(list[Held], [(row, None) for row in rows])))
    return [cast(Any, one).job for one in given]


def test_an_answer_holds_no_more_data_than_a_pilot_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch, 2_500, True, True, True) == [1, 2]
    assert told(monkeypatch, 2_500, True, True, True, False, True) == [1, 2, 4]


def test_one_job_is_always_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch, 10, True) == [1]
    assert told(monkeypatch, 10, True, True) == [1]
