"""Which files a job reads, on the store in memory: found once, exact, refused by name."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pilotage.central.catalogue import (
    input_resolution as resolve,
    record_files as file_records,
    record_read as catalogue_read,
    record_registration as registration,
)
from pilotage.central.catalogue.checks import check_scopes
from pilotage.central.catalogue.input_resolution import InputResolver, ResolvedInputs, outputs_to
from pilotage.central.catalogue.record_types import JobInput, NewFile, NewReplica, ReplicaChange
from pilotage.central.catalogue.rights import writing
from pilotage.central.catalogue.storages import StorageBook, Storages
from pilotage.central.errors import Refused
from pilotage.central.identity.callers import User
from pilotage.proto.catalogue import Did, ReplicaState
from pilotage.proto.claims import Role
from pilotage.proto.documents.job import DataInput, DataOutput, Job, JobData, Need, Preference
from tests.memory_store import MemoryStore

COMMUNITY = "ctao"


@pytest.fixture
def book(tmp_path: Path) -> StorageBook:
    http = "type: http\nurl: http://h/x\n"
    texts = {
        "pic": f"{http}sites: [PIC]\nnear: [PIC]\n",
        "cscs": f"{http}sites: [CSCS, PIC]\nnear: [CSCS]\ndefault: true\n",
        "all": f"{http}default: true\n",
        "read": f"{http}writable: false\n",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    storages = Storages(tmp_path)
    storages.look()
    return storages.book


def a_file(number: int, *storages: str, size: int = 1_000_000, dataset: str = "") -> NewFile:
    return NewFile(
        did=Did("sim", f"run{number}/f.h5"),
        bytes=size,
        adler32=f"{number:08x}",
        metadata={"run": number, "kind": "odd" if number % 2 else "even"},
        replicas=tuple(NewReplica(storage=one, path=f"p/{number}") for one in storages),
        datasets=(Did("sim", dataset),) if dataset else (),
    )


@pytest.fixture
async def store() -> MemoryStore:
    made = MemoryStore()
    files = [
        a_file(1, "pic", dataset="set"),
        a_file(2, "cscs", size=5_000_000, dataset="set"),
        a_file(3, "all"),
        a_file(4, "tape"),
        a_file(5, "pic", "cscs"),
    ]
    await made.write(registration.register_files, COMMUNITY, files, at=0.0, make_datasets=True)
    lost = ReplicaChange(did=Did("sim", "run5/f.h5"), storage="pic", state=ReplicaState.BAD)
    await made.write(file_records.change_replicas, COMMUNITY, [lost], at=1.0)
    return made


async def settled(store: MemoryStore, book: StorageBook, job: Job) -> ResolvedInputs:
    resolving = InputResolver(store, book, COMMUNITY)
    return await resolving.settle(job, "jobs[0]", group="sim")


def a_job(*inputs: DataInput, outputs: tuple[DataOutput, ...] = (), **fields: Any) -> Job:
    return Job(command=("true",), data=JobData(inputs=inputs, outputs=outputs), **fields)


def run(number: int, **fields: Any) -> DataInput:
    return DataInput(did=f"sim:run{number}/f.h5", to=f"r{number}", **fields)


async def test_inputs_are_files_in_the_order_of_the_job(
    store: MemoryStore, book: StorageBook
) -> None:
    by_query = DataInput(query={"kind": "odd", "run": {"<": 5}}, to="odd")
    job = a_job(DataInput(did="sim:run3/f.h5"), by_query, DataInput(did="sim:set"))
    with pytest.raises(Refused, match="both get path 'f.h5'"):  # folders can keep them apart
        await settled(store, book, job)

    found = await settled(store, book, a_job(run(2), run(3), run(2)))
    assert found.inputs == (JobInput(0, 2), JobInput(1, 3))


async def test_files_of_one_name_that_come_together_are_all_taken(
    store: MemoryStore, book: StorageBook
) -> None:
    """No folder could keep them apart: those of one dataset, or of a task's group."""
    alone = await settled(store, book, a_job(DataInput(did="sim:set"), run(3)))
    rows = await store.read(catalogue_read.files_by_id, [1, 2, 3])
    job = a_job(DataInput(did="sim:run3/f.h5"), DataInput(did="a:b"), DataInput(did="a:b"))
    given = [[rows[1], rows[2]], [rows[2], rows[1]]]
    group = await InputResolver(store, book, COMMUNITY).settle(job, "job", group="sim", given=given)

    assert alone.inputs == (JobInput(0, 1), JobInput(0, 2), JobInput(1, 3))
    assert group.inputs == (JobInput(0, 3), JobInput(1, 1), JobInput(1, 2))


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"run": "high"}, "outputs[1].metadata.run: found 'high', expected a number"),
        ({"run": "{job}"}, "outputs[1].metadata.run: found '{job}', expected a number"),
        ({"kind": 7}, "outputs[1].metadata.kind: found 7, expected a text"),
        ({"kind": "{job}", "run": 7, "new": True}, ""),
    ],
)
async def test_outputs_that_could_not_be_published_are_refused(
    metadata: dict[str, Any], said: str, store: MemoryStore, book: StorageBook
) -> None:
    outputs = (DataOutput(pattern="a"), DataOutput(pattern="b", metadata=metadata))
    job = a_job(outputs=outputs)
    if said:
        with pytest.raises(Refused, match=re.escape(f"jobs[0].data.{said}")):
            await settled(store, book, job)
    else:
        assert (await settled(store, book, job)).inputs == ()


SITES: dict[str, tuple[list[int], list[str], list[str]]] = {
    "one storage": ([1], ["PIC"], ["PIC"]),
    "both see one": ([1, 2], ["PIC"], ["PIC"]),
    "anywhere": ([3], [], []),
    "a bad copy is none": ([5], ["CSCS", "PIC"], ["CSCS"]),
}


@pytest.mark.parametrize("which", SITES)
async def test_a_job_runs_where_its_files_are(
    which: str, store: MemoryStore, book: StorageBook
) -> None:
    numbers, sites, preferred = SITES[which]
    found = await settled(store, book, a_job(*map(run, numbers)))

    assert list(found.job.needs[0].sites) == sites
    assert found.job.preference == (Preference(sites=tuple(preferred)) if preferred else None)


async def test_what_a_job_says_of_sites_still_holds(store: MemoryStore, book: StorageBook) -> None:
    own = Preference(sites=("X",))
    needs = (Need(sites=("PIC", "X")), Need(banned_sites=("PIC",)), Need(cores_min=2))
    found = await settled(store, book, a_job(run(2), needs=needs, preference=own))

    assert [one.sites for one in found.job.needs] == [("PIC",), ("CSCS",), ("CSCS", "PIC")]
    assert found.job.preference == own


async def test_without_time_for_it_no_site_is_preferred(
    store: MemoryStore, book: StorageBook
) -> None:
    data = JobData(inputs=(run(1),), prefer_local_s=0)
    found = await settled(store, book, Job(command=("true",), data=data))

    assert found.job.preference is None


def out(**fields: Any) -> DataOutput:
    return DataOutput(pattern="*", **fields)


REFUSALS: dict[str, Job] = {
    "no file or dataset is called sim:no": a_job(DataInput(did="sim:no")),
    "no configured storage has a readable copy of sim:run4/f.h5": a_job(run(4)),
    "found more than 1 files": a_job(DataInput(query={"kind": "odd"}, files_max=1)),
    "no readable file matches": a_job(DataInput(query={"run": 77})),
    "query.colour": a_job(DataInput(query={"colour": "red"})),
    "expected a number": a_job(DataInput(query={"run": "1"})),
    "needs[0].scratch_mb: 3 is less than the 5.0 MB": a_job(run(2), needs=(Need(scratch_mb=3),)),
    "its needs allow none of these": a_job(run(1), needs=(Need(sites=("CSCS",)),)),
    "only at PIC, and its needs": a_job(run(1), run(2), needs=(Need(banned_sites=("PIC",)),)),
    "unknown storage 'no'; known storages: all, cscs": a_job(outputs=(out(storages=("no",)),)),
    "storage 'read' is not writable": a_job(outputs=(out(storages=("read",)),)),
    "unknown placeholder {run}": a_job(outputs=(out(name="{run}"),)),
    "no scope, dataset or metadata": a_job(outputs=(out(did="sim:a", dataset="sim:b"),)),
    "outputs[0].name: found 'xxx": a_job(
        outputs=(out(name="x" * 500 + "/{job}/{file}" + "y" * 9),)
    ),
    "outputs[0].name: found 'a//x.x'": a_job(outputs=(out(name="a//{file}"),)),
    "found 'a//b', expected a name of": a_job(outputs=(DataOutput(pattern="b", name="a//{file}"),)),
    "outputs[0].pattern: 'a//*'": a_job(outputs=(DataOutput(pattern="a//*"),)),
    "outputs[0].pattern: './*'": a_job(outputs=(DataOutput(pattern="./*"),)),
    "inputs[0].to: './.pilotage/x'": a_job(DataInput(did="sim:run1/f.h5", to="./.pilotage/x")),
    "inputs[0].to: './{/../..'": a_job(DataInput(did="sim:run1/f.h5", to="./{/../..")),
    "expected a scope of the job's group: sim": a_job(outputs=(out(dataset="other:a-{job}"),)),
}


@pytest.mark.parametrize("word", REFUSALS)
async def test_what_cannot_be_is_refused_by_name(
    word: str, store: MemoryStore, book: StorageBook
) -> None:
    with pytest.raises(Refused) as raised:
        await settled(store, book, REFUSALS[word])

    assert word in str(raised.value)
    assert raised.value.field.startswith("jobs[0].")


def test_a_central_without_a_storage_for_an_output_says_what_to_do(book: StorageBook) -> None:
    none, field = StorageBook(), "jobs[0].data.outputs[0].storages"
    for names in ((), ("disk",)):
        with pytest.raises(Refused, match="this central has no storages: an operator adds one"):
            outputs_to(none, names, field)

    with pytest.raises(Refused, match="no storage is the default one: name one of disk, in") as why:
        outputs_to(StorageBook(storages={"disk": book.storages["pic"]}), (), field)
    assert why.value.field == "jobs[0].data.outputs[0]"


@pytest.mark.parametrize("scope", ["", "sim", "sim.raw", "simulation", "other", "{job}"])
def test_outputs_go_to_scopes_of_the_owners_groups(scope: str) -> None:
    caller = User(
        issuer="me",
        subject="ada",
        name="Ada",
        community=COMMUNITY,
        groups=("sim",),
        role=Role.USER,
        expires_at=1e9,
        jti="j",
    )
    datas = [JobData(outputs=(out(scope=scope),))]
    datas += [JobData(outputs=(out(dataset=f"{scope}:x"),))] if scope else []
    for data in datas:
        if scope in ("", "sim", "sim.raw"):
            check_scopes(data, "sim", writing(caller), "data")
        else:
            with pytest.raises(Refused, match="a scope of one of your groups"):
                check_scopes(data, "sim", writing(caller), "data")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"scope": "sim.raw"}, ""),
        ({"dataset": "sim:set"}, ""),
        ({"dataset": "sim.raw:{job}"}, ""),
        ({"scope": "simple"}, r"outputs\[0\]\.scope: found 'simple', expected a scope of the job"),
        ({"scope": "other"}, "found 'other'"),
        ({"dataset": "other:set"}, r"outputs\[0\]\.dataset: found 'other'"),
    ],
)
async def test_a_job_publishes_in_scopes_of_its_group(
    fields: dict[str, Any], said: str, store: MemoryStore, book: StorageBook
) -> None:
    job = a_job(outputs=(out(**fields),))
    if not said:
        await settled(store, book, job)
        return

    with pytest.raises(Refused, match=said):
        await settled(store, book, job)


@pytest.mark.parametrize(
    ("command", "dids", "fields", "said"),
    [
        (("true",), ("sim:run1/f.h5",), {}, ""),
        (("cp",), ("sim:run1/f.h5",), {}, "found sim:run1/f.h5, expected a file of the job's"),
        (("true",), ("sim:run1/f.h5",), {"environment": {"PATH": "."}}, "one input that runs"),
        (("true",), ("sim:run1/f.h5", "sim:run2/f.h5"), {}, "with it as its one input"),
        (("true",), ("sim:run2/f.h5",), {}, "with it as its one input"),
        (("true",), (), {}, r"outputs\[0\]\.did: found sim:run1/f.h5"),
    ],
)
async def test_others_files_are_copied_by_jobs_that_do_nothing_else(
    command: tuple[str, ...],
    dids: tuple[str, ...],
    fields: dict[str, Any],
    said: str,
    store: MemoryStore,
    book: StorageBook,
) -> None:
    inputs = tuple(DataInput(did=one, to=f"i{n}") for n, one in enumerate(dids))
    copy = out(did="sim:run1/f.h5")
    job = Job(command=command, data=JobData(inputs=inputs, outputs=(copy,)), **fields)
    resolving = InputResolver(store, book, COMMUNITY)
    await resolving.settle(job, "jobs[0]", group="sim")  # its own it may write anyhow
    if not said:
        await resolving.settle(job, "jobs[0]", group="other")
        return

    with pytest.raises(Refused, match=said):
        await resolving.settle(job, "jobs[0]", group="other")


async def test_what_a_pilot_is_told_of_files_is_bounded(
    store: MemoryStore, book: StorageBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolve, "TOLD_BYTES_MAX", 1 << 20)
    notes = {f"note{n}": "x" * 500 for n in range(60)}
    files = [
        msgspec.structs.replace(
            a_file(100 + n, "all"),
            did=Did("sim", f"many/{n}"),
            metadata={"kind": "many", **(notes if n < 40 else {})},
        )
        for n in range(100)
    ]
    await store.write(registration.register_files, COMMUNITY, files, at=2.0)
    without = {"kind": "many", "note1": {"exists": False}}
    assert len((await settled(store, book, a_job(DataInput(query=without)))).inputs) == 60

    with pytest.raises(Refused, match="of 100 files has 1 MB, expected at most 1: give"):
        await settled(store, book, a_job(DataInput(query={"kind": "many"})))
