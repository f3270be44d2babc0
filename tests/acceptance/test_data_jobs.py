"""Jobs that read and write data: real central, pilots at two sites, an HTTP server and folders."""

import asyncio
import json
import re
import signal
import time
from collections.abc import Callable, Coroutine, Generator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pilotage.central.client.client import AsyncClient
from pilotage.central.client.errors import NoCopy, NoStorage, Refused
from pilotage.proto.documents.job import DataInput, DataOutput, Job, JobData, Need
from pilotage.proto.job_states import JobState
from tests.faults.test_full_disk import may_mount, small_disk
from tests.services.nginx import PROGRAM, Nginx, nginx

from .beacons import outside_tmp
from .catalogue_rows import files_in
from .running import RunningCentral, eventually, running_central

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="nginx is not installed")

MAKE = """
echo photons of run $1 > run$1.h5
echo '{"run": '$1', "zenith": 20.5, "good": true}' > run$1.h5.meta.json
"""
NEED = (Need(wall_s=300),)


class Rig:
    """A central with three storages: `web` (HTTP), `pic` and `cscs` (folders of one site each)."""

    def __init__(self, folder: Path, stack: ExitStack, *, lease_s: str = "120") -> None:
        self.folder = folder
        self.web: Nginx = stack.enter_context(nginx(folder / "nginx"))
        data = folder / "central" / "central"
        files = data / "storages"
        files.mkdir(parents=True)
        data.chmod(0o700)
        for site in ("PIC", "CSCS"):
            self.of(site).mkdir()
            text = f"type: file\nurl: file://{self.of(site)}\nsites: [{site}]\nnear: [{site}]\n"
            (files / f"{site.lower()}.yaml").write_text(text)
        web = f"type: http\nurl: {self.web.url}/ctao\ndefault: true\npriority: 60\n"
        (files / "web.yaml").write_text(web)
        options = {"lease.lease_s": lease_s}
        self.central: RunningCentral = stack.enter_context(
            running_central(folder / "central", options)
        )
        self.client = self.central.client

    def of(self, site: str) -> Path:
        return self.folder / f"storage-{site}"

    def run(self, job: Job, *, within_s: float = 60) -> tuple[int, JobState, str]:
        """Run a job to its end; its number, state and reason."""
        (handle,) = self.client.submit([job]).handles()
        view = handle.wait(timeout_s=within_s)
        return view.id, view.state, view.reason

    def text(self, job: int) -> str:
        """What a job has printed."""
        return b"".join(self.client.job(job).log()).decode()

    def files(self) -> "dict[str, object]":
        return dict(files_in(self.central.data))


@pytest.fixture
def rig(tmp_path: Path) -> Generator[Rig]:
    with ExitStack() as stack:
        yield Rig(tmp_path, stack)


@pytest.fixture
def hasty(tmp_path: Path) -> Generator[Rig]:
    """A central that gives up attempts soon."""
    with ExitStack() as stack:
        yield Rig(tmp_path, stack, lease_s="3")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Generator[Rig]:
    """One central, and a pilot at each site, for stories that disturb no other."""
    with ExitStack() as stack:
        rig = Rig(tmp_path_factory.mktemp("shared"), stack)
        rig.central.pilot("PIC")
        rig.central.pilot("CSCS")
        yield rig


def maker(run: int, *storages: str, name: str = "gamma/{file}", dataset: str = "") -> Job:
    out = DataOutput(
        pattern="*.h5",
        name=name,
        dataset=dataset,
        metadata={"particle": "gamma"},
        storages=storages,
    )
    command = ("sh", "-c", MAKE, "make", str(run))
    return Job(command=command, data=JobData(outputs=(out,)), needs=NEED)


def reader(*inputs: DataInput, **more: object) -> Job:
    command = ("sh", "-c", 'cat "$@"; echo "$PILOTAGE_INPUTS" | wc -l', "read", "{inputs}")
    return Job(command=command, data=JobData(inputs=inputs), needs=NEED, **more)  # type: ignore[arg-type]


def test_one_site_makes_a_file_and_another_one_finds_it_by_its_metadata(rig: Rig) -> None:
    rig.central.pilot("PIC")
    made, state, reason = rig.run(maker(7, dataset="users:prod6"))
    assert (state, reason) == (JobState.DONE, "")
    rig.central.pilots[0].process.send_signal(signal.SIGTERM)
    rig.central.pilots[0].process.wait(60)
    rig.central.pilot("CSCS")

    found = {"particle": "gamma", "zenith": {">": 20}, "run": {"in": [6, 7]}, "good": True}
    read, state, reason = rig.run(reader(DataInput(query=found, to="in")))
    by_dataset, *_ = rig.run(reader(DataInput(did="users:prod6")))

    assert (state, reason) == (JobState.DONE, "")
    assert rig.text(read) == rig.text(by_dataset) == "photons of run 7\n1\n"
    (one,) = files_in(rig.central.data).values()
    assert one.did == "users:gamma/run7.h5"
    assert (one.state, one.job, one.epoch) == ("Available", made, 1)
    assert one.metadata == {"particle": "gamma", "run": 7, "zenith": 20.5, "good": True}
    assert one.datasets == ("prod6",)
    ((storage, (path, is_state)),) = one.copies.items()
    assert (storage, is_state) == ("web", "Available")
    assert path.startswith("local/")
    assert path.endswith(f"/{made}/1/run7.h5")
    usage = rig.client.detail(read).attempts[0].usage
    assert usage["bytes_in"] == one.size


def test_jobs_go_where_their_data_are(shared: Rig) -> None:
    _, state, _ = shared.run(maker(1, "cscs", name="where/{file}"))
    assert state is JobState.DONE

    jobs = [shared.run(reader(DataInput(did="users:where/run1.h5")))[0] for _ in range(3)]
    sites = {shared.client.detail(one).view.site for one in jobs}
    (waits,) = shared.client.submit([maker(2, "cscs", name="where/{file}")]).ids()
    shared.client.job(waits).wait(timeout_s=60)

    assert sites == {"CSCS"}, "no pilot of PIC sees that storage"
    assert shared.client.detail(waits).view.site == "CSCS"
    with pytest.raises(Refused, match="no site reaches all of its data"):
        shared.run(maker_of_both())


def maker_of_both() -> Job:
    data = JobData(
        inputs=(DataInput(did="users:where/run1.h5"),),
        outputs=(DataOutput(pattern="*", storages=("pic",)),),
    )
    return Job(command=("true",), data=data, needs=NEED)


def test_a_storage_that_goes_away_and_comes_back(rig: Rig) -> None:
    pilot = rig.central.pilot("PIC")
    _, state, _ = rig.run(maker(1))
    assert state is JobState.DONE
    rig.web.stop()

    (read,) = rig.client.submit([reader(DataInput(did="users:gamma/run1.h5"))]).ids()
    (made,) = rig.client.submit([maker(2)]).ids()
    elsewhere, state, _ = rig.run(maker(3, "web", "pic"))
    eventually(lambda: len(pilot.events("data_not_moved")) > 2, what="tries in vain")

    assert state is JobState.DONE
    assert list(files_in(rig.central.data)["users:gamma/run3.h5"].copies) == ["pic"]
    assert elsewhere not in (read, made)

    rig.web.start()
    views = [rig.client.job(one).wait(timeout_s=60) for one in (read, made)]

    assert [one.state for one in views] == [JobState.DONE, JobState.DONE]
    assert [one.epoch for one in views] == [1, 1]
    assert rig.text(read) == "photons of run 1\n1\n"


@pytest.mark.skipif(not may_mount(), reason="this process may not mount")
def test_outputs_that_fit_on_no_full_storage_go_to_the_next(rig: Rig) -> None:
    with small_disk(rig.of("PIC") / "small", 1) as disk:
        text = f"type: file\nurl: file://{disk}\n"
        (rig.central.data / "storages" / "small.yaml").write_text(text)
        eventually(
            lambda: "small" in {one.name for one in rig.client.storages().storages},
            what="the storage",
        )
        pilot = rig.central.pilot("PIC")
        out = DataOutput(pattern="big", name="big", storages=("small", "pic"))
        command = ("sh", "-c", "head -c 3000000 /dev/zero > big")
        _, state, _ = rig.run(Job(command=command, data=JobData(outputs=(out,)), needs=NEED))

        assert state is JobState.DONE
        assert list(files_in(rig.central.data)["users:big"].copies) == ["pic"]
        assert not [one for one in disk.rglob("*") if one.is_file()], "no part is left"
        (told,) = pilot.events("data_not_moved")
        assert told["why"] == "big: small: No space left on device"


def test_of_a_corrupt_copy_the_next_one_is_taken_and_it_is_called_bad(rig: Rig) -> None:
    rig.central.pilot("PIC")
    rig.run(maker(1))
    did, other = "users:gamma/run1.h5", DataOutput(pattern="run1.h5", storages=("pic",))
    again = DataOutput(did=did, pattern=other.pattern, storages=other.storages)
    data = JobData(inputs=(DataInput(did=did),), outputs=(again,))
    _, state, reason = rig.run(Job(command=("true",), data=data, needs=NEED))
    assert (state, reason) == (JobState.DONE, "")
    copies = files_in(rig.central.data)[did].copies
    assert {name: copy[1] for name, copy in copies.items()} == {
        "pic": "Available",
        "web": "Available",
    }
    near = rig.of("PIC") / copies["pic"][0]
    near.write_bytes(b"PHOTONS of run 1\n")

    read, state, _ = rig.run(reader(DataInput(did=did)))

    assert state is JobState.DONE
    assert rig.text(read) == "photons of run 1\n1\n"
    one = files_in(rig.central.data)[did]
    assert {name: copy[1] for name, copy in one.copies.items()} == {
        "pic": "Bad",
        "web": "Available",
    }

    (rig.web.files / "ctao" / one.copies["web"][0]).write_bytes(b"no photons")
    lost, state, reason = rig.run(reader(DataInput(did=did)))

    assert state is JobState.FAILED
    assert did in reason
    assert files_in(rig.central.data)[did].state == "Lost"
    with pytest.raises(Refused, match="is Lost"):
        rig.run(reader(DataInput(did=did)))
    assert lost


def test_of_two_jobs_with_one_name_for_their_output_the_second_fails(shared: Rig) -> None:
    command = ("sh", "-c", "echo $PILOTAGE_JOB > x.h5")
    data = JobData(outputs=(DataOutput(pattern="x.h5", name="same"),))
    handles = shared.client.submit([Job(command=command, data=data, needs=NEED, retries=3)] * 4)
    views = [one.wait(timeout_s=60) for one in handles.handles()]
    same = [shared.run(Job(command=("true",), data=data, needs=NEED))]

    states = sorted(one.state.value for one in views)
    failed = [one for one in views if one.state is JobState.FAILED]
    assert states == ["Done", "Failed", "Failed", "Failed"]
    assert all("users:same" in one.reason and "found" in one.reason for one in failed)
    assert {one.epoch for one in failed} == {1}, "another try would bring the same"
    assert same[0][1] is JobState.FAILED and "no file matches x.h5" in same[0][2]
    one = files_in(shared.central.data)["users:same"]
    assert one.job in {view.id for view in views if view.state is JobState.DONE}


def test_what_a_killed_pilot_has_stored_is_never_published(hasty: Rig) -> None:
    """It is killed between the upload and the report, which the central does not hear."""
    pilot = hasty.central.pilot("PIC")
    go = outside_tmp(hasty.folder / "go")
    script = f"until [ -e {go} ]; do sleep 0.05; done; echo 1 > a.h5; echo 2 > b.h5"
    data = JobData(outputs=(DataOutput(pattern="*.h5"),))
    (job,) = hasty.client.submit([Job(command=("sh", "-c", script), data=data, needs=NEED)]).ids()
    eventually(lambda: pilot.events("payload_started"), what="the start")
    hasty.central.process.send_signal(signal.SIGSTOP)
    try:
        go.touch()
        eventually(lambda: pilot.events("ended"), what="the end of the upload")
        pilot.kill9()
    finally:
        hasty.central.process.send_signal(signal.SIGCONT)
    hasty.central.pilot("CSCS")

    view = hasty.client.job(job).wait(timeout_s=90)
    files = files_in(hasty.central.data)

    stored = hasty.web.files / "ctao" / "local"
    assert view.state is JobState.DONE
    assert sorted(one.name for one in stored.glob(f"*/{job}/1/*")) == ["a.h5", "b.h5"]
    assert set(files) == {f"users:{job}/a.h5", f"users:{job}/b.h5"}
    # Its last word may have been on the wire, and then it counts; else what is there is litter.
    assert {one.epoch for one in files.values()} == {view.epoch}
    for one in files.values():
        path, _ = one.copies["web"]
        assert path.startswith("local/")
        assert f"/{job}/{view.epoch}/" in path


def test_what_a_zombie_stores_is_never_published(hasty: Rig) -> None:
    pilot = hasty.central.pilot("PIC")
    go = outside_tmp(hasty.folder / "go")
    script = f"echo $PILOTAGE_EPOCH > x.h5; until [ -e {go} ]; do sleep 0.1; done"
    out = DataOutput(pattern="*.h5")
    (job,) = hasty.client.submit(
        [Job(command=("sh", "-c", script), data=JobData(outputs=(out,)), needs=NEED)]
    ).ids()
    eventually(lambda: pilot.events("payload_started"), what="the start")
    pilot.freeze()
    hasty.central.pilot("CSCS")
    second = hasty.central.pilots[1]
    eventually(lambda: second.events("payload_started"), what="the second attempt")
    go.touch()
    view = hasty.client.job(job).wait(timeout_s=60)
    pilot.thaw()
    eventually(lambda: pilot.events("ended"), what="the word of the zombie")
    time.sleep(0.5)

    (one,) = files_in(hasty.central.data).values()

    assert view.state is JobState.DONE and view.epoch > 1
    assert one.epoch == view.epoch
    assert one.copies["web"][0].endswith(f"/{job}/{view.epoch}/x.h5")


async def _puts(client: AsyncClient, source: Path) -> None:
    did, metadata = "users:gamma/run8.h5", {"run": 8, "particle": "gamma"}
    await asyncio.to_thread(source.write_bytes, b"photons of run 8\n")
    await client.make_dataset("users:prod6")
    await client.put_file(source, did, storage="pic", metadata=metadata, datasets=["users:prod6"])
    # The same again is a second copy, on the default storage; and then nothing new.
    await client.put_file(source, did, metadata=metadata)
    found = await client.put_file(source, did, metadata=metadata)
    assert [one.storage for one in found.replicas] == ["pic", "web"]
    await asyncio.to_thread(source.write_bytes, b"PHOTONS of run 8\n")
    with pytest.raises(Refused, match="expected"):
        await client.put_file(source, did)
    with pytest.raises(NoStorage, match="choose one of cscs, pic, web"):
        await client.put_file(source, did, storage="tape")


async def _gets(client: AsyncClient, folder: Path, *, bad: Path) -> None:
    did, content = "users:gamma/run8.h5", b"photons of run 8\n"
    one = await client.get_file(did, folder / "one")
    some = [path async for path in client.get_found({"run": {">": 7}}, folder / "all")]
    assert [await asyncio.to_thread(path.read_bytes) for path in (one, *some)] == [content] * 2
    assert some == [folder / "all" / "run8.h5"]
    await asyncio.to_thread(bad.write_bytes, b"PHOTONS of run 8\n")
    with pytest.raises(NoCopy, match="pic: .* has 6 bytes.* web: .* has the checksum"):
        await client.get_file(did, folder / "no")
    assert not (folder / "no").exists()


def test_people_store_and_fetch_files(rig: Rig, tmp_path: Path) -> None:
    def with_client(work: Callable[[AsyncClient], Coroutine[None, None, None]]) -> None:
        async def run() -> None:
            token = (rig.central.data / "admin.token").read_text().strip()
            async with AsyncClient(rig.central.url, token) as client:
                await work(client)

        asyncio.run(run())

    with_client(lambda client: _puts(client, tmp_path / "run8.h5"))
    rig.central.pilot("CSCS")
    job, state, reason = rig.run(reader(DataInput(did="users:prod6")))

    assert (state, reason, rig.text(job)) == (JobState.DONE, "", "photons of run 8\n1\n")
    stored = [one for one in rig.of("PIC").rglob("*") if one.is_file()]
    served = [one for one in rig.web.files.rglob("*") if one.is_file()]
    assert (len(stored), len(served)) == (1, 1), "what is not registered was taken back"

    stored[0].write_bytes(b"rotten")
    with_client(lambda client: _gets(client, tmp_path, bad=served[0]))


def test_options_say_what_a_job_reads_and_makes_and_show_names_it(shared: Rig) -> None:
    make, need = "echo photons > out.txt", ("--memory-mb", "100", "--wall-s", "600")
    shared.central.type(
        *(
            "submit",
            "--wait",
            "--data-output",
            "*.txt=options/{file}",
            *need,
            "--",
            "sh",
            "-c",
            make,
        )
    )
    said = shared.central.type(
        *("submit", "--wait", "--json", "--data-input", "users:options/out.txt", *need),
        *("--", "cat", "{inputs}"),
    )
    read = int(json.loads(said.splitlines()[0])["ids"][0]["first"])
    made = int(shared.client.file("users:options/out.txt").file.job or 0)

    assert shared.text(read) == "photons\n"
    assert re.search(r"data.reads +.*users:options/out.txt", shared.central.type("show", str(read)))
    assert re.search(r"data.made +.*users:options/out.txt", shared.central.type("show", str(made)))


def test_data_that_cannot_be_are_refused_by_name(shared: Rig) -> None:
    bad: dict[str, JobData] = {
        "no file or dataset is called users:nothing": JobData(
            inputs=(DataInput(did="users:nothing"),)
        ),
        "did: found": JobData(inputs=(DataInput(did="users:../x"),)),
        "query.colour": JobData(inputs=(DataInput(query={"colour": "red"}),)),
        "give either did or query": JobData(inputs=(DataInput(),)),
        "unknown storage 'tape'": JobData(outputs=(DataOutput(pattern="*", storages=("tape",)),)),
        "unknown placeholder {nonsense}": JobData(
            outputs=(DataOutput(pattern="*", name="{nonsense}"),)
        ),
        "a folder inside the job's folder": JobData(inputs=(DataInput(did="a:b", to="../x"),)),
        "metadata.run": JobData(outputs=(DataOutput(pattern="*", metadata={"run": "a\nb"}),)),
    }
    for word, data in bad.items():
        with pytest.raises(Refused) as raised:
            shared.client.submit([Job(command=("true",), data=data)])
        assert word in str(raised.value), word


def test_parameters_make_names_and_metadata(shared: Rig) -> None:
    out = DataOutput(
        pattern="out",
        name="{particle}/{run}-{stem}{{x}}",
        metadata={"run": "{run}", "particle": "{particle}", "label": "r{run} of {job}"},
    )
    template = Job(
        command=("sh", "-c", "echo {run} > out"), data=JobData(outputs=(out,)), needs=NEED
    )
    parameters = [{"run": run, "particle": "gamma"} for run in (1, 2)]
    made = shared.client.submit(template=template, parameters=parameters)
    assert [one.wait(timeout_s=60).state for one in made.handles()] == [JobState.DONE] * 2
    first, _ = made.ids()

    read = Job(
        command=("cat", "{inputs}"),
        data=JobData(inputs=(DataInput(query={"run": "{run}", "label": {"like": "r*"}}),)),
        needs=NEED,
    )
    second = shared.client.submit(template=read, parameters=[{"run": 2}])
    (job,) = second.ids()
    shared.client.job(job).wait(timeout_s=60)

    files = files_in(shared.central.data)
    runs = [files[f"users:gamma/{run}-out{{x}}"].metadata["run"] for run in (1, 2)]
    assert runs == [1, 2]
    assert files["users:gamma/1-out{x}"].metadata["label"] == f"r1 of {first}"
    assert shared.text(job) == "2\n"
