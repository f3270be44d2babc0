"""What reports say of data, judged: what is published, what is believed of copies."""

import hashlib
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from pilotage.central.catalogue import (
    record_read as catalogue_read,
    record_registration as registration,
)
from pilotage.central.catalogue.record_types import JobInput, NewFile, NewReplica
from pilotage.central.catalogue.remnants import SweepResult
from pilotage.central.catalogue.storages import StorageCredential
from pilotage.central.dispatch.turns.data_reports import DataReports, as_written
from pilotage.central.jobs import record_submissions as submission_records
from pilotage.central.jobs.leases import Lease
from pilotage.central.jobs.record_types import AttemptResult, NewJob
from pilotage.central.jobs.verdicts import result
from pilotage.central.rucio.files import RucioEntry, RucioOutputs
from pilotage.proto.catalogue import Did, ReplicaState
from pilotage.proto.documents.job import DataOutput, Job, JobData
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import How, Report
from pilotage.proto.storages import BadCopy, Published, Removed
from tests.builders import a_lease, an_ended
from tests.contract.store.rows import a_class, a_submission
from tests.memory_store import GENERATION, MemoryStore


class Rig:
    """A store with one job that has data and reads run1, and the catalogue with run1 and run2."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.log: list[str] = []
        queue = SimpleNamespace(classes={1: SimpleNamespace(owner_id=3)})
        self.data = DataReports(self.store, cast(Any, queue), self._note, 7.0)

    def _note(self, event: str, **fields: object) -> None:
        self.log.append(event)

    async def begin(self, *, has_data: bool = True) -> Lease:
        files = [
            NewFile(
                did=Did("dpps", f"run{i}"),
                bytes=3,
                adler32="00000001",
                replicas=(NewReplica(storage="web", path=f"p/{i}"),),
            )
            for i in (1, 2)
        ]
        await self.store.write(registration.register_files, "ctao", files, at=0.0)
        for subject in ("eve", "bob", "ada"):  # the third one has submitted the job
            kind = await a_class(self.store, subject=subject)
        data = JobData(outputs=(DataOutput(pattern="*"),)) if has_data else None
        body = msgspec.json.encode(Job(command=("true",), data=data))
        row = NewJob(class_id=kind.class_id, body=body, inputs=(JobInput(0, 1),))
        record = await self.store.write(
            submission_records.submit, a_submission(kind, template=None), [row]
        )
        return a_lease(job=record.ranges[0][0])

    async def looked_at(self, lease: Lease, report: Report) -> AttemptResult:
        change = result(lease, report, at=5.0)
        found = await self.data.looked_at(lease, report, change, 5.0)
        assert isinstance(found, AttemptResult)
        return found

    async def states(self) -> list[str]:
        copies = await self.store.read(catalogue_read.replicas_of, [1, 2])
        return [copies[i][0].state.value for i in (1, 2)]


def stored(lease: Lease, **fields: object) -> Published:
    given: dict[str, object] = {
        "rule": 0,
        "name": "a",
        "storage": "web",
        "path": f"ctao/{GENERATION}/{lease.job}/1/a",
        "size_bytes": 3,
        "adler32": "00000001",
        "sha256": "0" * 64,
    }
    return Published(**{**given, **fields})  # type: ignore[arg-type]


def ended(lease: Lease, *, exit_code: int = 0, **fields: object) -> Report:
    report = an_ended(job=lease.job, exit_code=exit_code)
    return replace(report, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("command", "did", "own"),
    [("true", "dpps:run1", False), ("run", "dpps:run1", True), ("true", "", True)],
)
async def test_only_where_no_program_runs_a_copy_is_one_of_anybodys_file(
    command: str, did: str, own: bool
) -> None:
    rig = Rig()
    lease = await rig.begin()
    body = Job(command=(command,), data=JobData(outputs=(DataOutput(pattern="*", did=did),)))
    rig.store.put_body(lease.job, msgspec.json.encode(body))
    change = await rig.looked_at(lease, ended(lease, published=(stored(lease),)))

    assert change.publication is not None
    assert [one.own for one in change.publication.files] == [own]


@pytest.mark.parametrize("confirm", [False, True])
async def test_a_result_whose_outputs_rucio_must_confirm_completes(confirm: bool) -> None:
    rig = Rig()
    lease = await rig.begin()
    out = DataOutput(pattern="*", confirm=confirm)
    body = Job(command=("run",), data=JobData(outputs=(out,)))
    rig.store.put_body(lease.job, msgspec.json.encode(body))
    server = RucioEntry(
        url="https://rucio.org",
        account="a",
        community="ctao",
        credential=StorageCredential(source="file"),
        outputs=RucioOutputs(scopes=("dpps",)),
    )
    rig.data = replace(rig.data, rucio=lambda: {"rucio": server})
    change = await rig.looked_at(lease, ended(lease, published=(stored(lease),)))

    assert change.publication is not None
    assert [one.confirm for one in change.publication.outgoing] == [confirm]
    assert change.new is (JobState.COMPLETING if confirm else JobState.DONE)


async def test_a_good_result_publishes_and_a_bad_one_does_not() -> None:
    rig = Rig()
    lease = await rig.begin()
    good = await rig.looked_at(lease, ended(lease, published=(stored(lease),)))
    bad = await rig.looked_at(lease, ended(lease, exit_code=3, published=(stored(lease),)))

    assert good.publication is not None
    assert [str(one.did) for one in good.publication.files] == [f"dpps:{lease.job}/a"]
    assert good.publication.files[0].owner_id == 3
    assert (bad.publication, bad.new) == (None, JobState.FAILED)
    assert as_written(good) is good
    good.publication.clash = "dpps:x: other bytes"
    written = as_written(good)
    assert isinstance(written, AttemptResult)
    assert written.new is JobState.FAILED
    assert written.reason == "its data are not published: dpps:x: other bytes"


LIES: dict[str, dict[str, object]] = {
    "a place of another job": {"path": f"ctao/{GENERATION}/999/1/a"},
    "an output that there is not": {"rule": 7},
    "metadata that are none": {"metadata": '{"a": {"b": 1}}'},
}


@pytest.mark.parametrize("lie", LIES)
async def test_what_cannot_be_published_fails_the_job_at_once(lie: str) -> None:
    rig = Rig()
    lease = await rig.begin()
    lease.retries = 5
    change = await rig.looked_at(lease, ended(lease, published=(stored(lease, **LIES[lie]),)))

    assert (change.new, change.failed, change.publication) == (JobState.FAILED, True, None)
    assert change.reason.startswith("its data are not published: a: ")


async def test_a_job_without_data_publishes_nothing_whatever_is_said() -> None:
    rig = Rig()
    lease = await rig.begin(has_data=False)
    change = await rig.looked_at(lease, ended(lease, published=(stored(lease),)))

    assert (change.new, change.publication) == (JobState.FAILED, None)


async def test_a_job_that_cannot_be_read_any_more_publishes_nothing_and_says_so() -> None:
    rig = Rig()
    lease = await rig.begin()
    rig.store.put_body(lease.job, b'{"command": 7}')
    change = await rig.looked_at(lease, ended(lease, published=(stored(lease),)))

    assert (change.new, change.failed, change.publication) == (JobState.FAILED, True, None)
    assert change.reason.startswith("its data are not published: ValidationError: Expected `array`")


async def test_copies_are_called_bad_that_the_job_reads_and_no_others() -> None:
    rig = Rig()
    lease = await rig.begin()
    bad = (
        BadCopy("dpps:run2", "web", "p/2", "not of this job"),
        BadCopy("dpps:run1", "web", "p/other", "another place"),
        BadCopy("dpps:run1", "tape", "p/1", "another storage"),
        BadCopy("nonsense", "web", "p/1", "no name"),
    )
    report = ended(lease, exit_code=1, how=How.EXITED, bad_copies=bad)
    await rig.looked_at(lease, report)
    assert (await rig.states(), rig.log) == (["Available", "Available"], [])

    right = BadCopy("dpps:run1", "web", "p/1", "its adler32 is …")
    for _ in range(2):  # repeated, it changes nothing
        await rig.looked_at(lease, ended(lease, exit_code=1, bad_copies=(right,)))
    assert await rig.states() == [ReplicaState.BAD.value, "Available"]
    assert rig.log == ["copy_bad"]


async def test_what_a_sweep_says_of_remnants_goes_with_its_result() -> None:
    rig = Rig()
    other = await rig.begin()
    lease = await rig.begin()
    lease.kind = lease.kind._replace(type="Sweep")
    removed = (
        Removed(3),
        Removed(4, "HTTP 405 Not Allowed"),
        Removed(5, "not tried: no time", tried=False),
    )
    none = await rig.looked_at(other, ended(other, removed=removed))
    good = await rig.looked_at(lease, ended(lease, removed=removed))
    bad = await rig.looked_at(lease, ended(lease, exit_code=1, removed=removed))

    assert good.swept == SweepResult(
        gone=(3,),
        failed=((4, "HTTP 405 Not Allowed"),),
        untried=((5, "not tried: no time"),),
        after_s=7.0,
    )
    assert bad.swept is None and none.swept is None
    assert rig.log == ["remnants_stay"]


async def test_an_empty_file_is_not_published_with_a_size() -> None:
    rig = Rig()
    lease = await rig.begin()
    empty = stored(lease, size_bytes=10**12, sha256=hashlib.sha256(b"").hexdigest())
    change = await rig.looked_at(lease, ended(lease, published=(empty,)))

    assert change.publication is None
    said = "a: its sha256 is that of an empty file, but its size_bytes is 1000000000000"
    assert said in change.reason
