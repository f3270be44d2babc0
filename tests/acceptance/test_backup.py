"""An operator's worst day: backed up under load, lost, restored; and doctor's word at each step."""

import json
import threading
from pathlib import Path

from pilotage.proto.documents.job import Job, Need
from pilotage.proto.job_states import JobState

from .beacons import Beacons
from .running import RunningCentral, eventually, running_central

LEASE = {"lease.lease_s": "6"}


class Load(threading.Thread):
    """Somebody who submits without a pause."""

    def __init__(self, central: RunningCentral) -> None:
        super().__init__()
        self._client = central.client_of(None)
        self.stop = threading.Event()
        self.acknowledged: list[int] = []

    def run(self) -> None:
        with self._client as client:
            while not self.stop.is_set():
                job = Job(command=("true",), needs=(Need(sites=("NOWHERE",)),))
                self.acknowledged += client.submit([job] * 20).ids()


def said(central: RunningCentral, *words: str, code: int = 0) -> list[dict[str, str]]:
    """Return the findings of doctor."""
    found = central.type("doctor", "--json", "--data", str(central.data), *words, code=code)
    return list(json.loads(found.splitlines()[0]))


def at_fault(findings: list[dict[str, str]]) -> list[str]:
    return [f"{one['check']}: {one['said']}" for one in findings if one["level"] == "fault"]


def test_a_copy_that_was_taken_under_load_goes_on_and_what_came_later_never_counts(
    tmp_path: Path,
) -> None:
    beacons = Beacons(tmp_path / "beacons")
    with running_central(tmp_path / "one", LEASE) as central:
        client = central.client
        pilot = central.pilot("PIC", cores=2)
        (done,) = client.submit([beacons.job(0.1)]).ids()
        client.job(done).wait(60)
        (long,) = client.submit([beacons.job(60, 0.1)]).ids()
        eventually(lambda: beacons.running(long), what="the start")
        load = Load(central)
        load.start()
        eventually(lambda: len(load.acknowledged) > 200, what="some load")
        before = list(load.acknowledged)
        out = central.type("admin", "backup", str(tmp_path / "copy"), "--data", str(central.data))
        load.stop.set()
        load.join()
        (late,) = client.submit([beacons.job(0.1)], key="after the backup").ids()
        client.job(late).wait(60)

        assert "jobs" in out
        assert at_fault(said(central, "--store")) == []
        assert "not empty" in central.type(
            "admin", "backup", str(tmp_path / "copy"), "--data", str(central.data), code=3
        )
        assert "not empty" in central.type(
            "admin", "restore", str(tmp_path / "copy"), "--data", str(central.data), code=3
        )
        central.kill9()
        again = tmp_path / "one" / "again"
        central.type("admin", "restore", str(tmp_path / "copy"), "--data", str(again))
        central.data.rename(tmp_path / "one" / "lost")
        again.rename(central.data)
        central.restart()

        # The pilot of the lost time line hears it and ends, its payload with it.
        eventually(lambda: pilot.process.poll() is not None, what="the end of the old pilot")
        assert {job.id for job in client.search()} >= {done, long, *before}
        assert late not in {job.id for job in client.search()}
        assert client.detail(done).view.state is JobState.DONE
        central.pilot("PIC", cores=2)
        (new,) = client.submit([beacons.job(0.1)]).ids()
        for job in (long, new):
            assert client.job(job).wait(60).state is JobState.DONE
        assert new > late
        assert beacons.overlaps() == []
        assert at_fault(said(central, "--store")) == []


def test_a_spoilt_backup_is_not_restored(tmp_path: Path) -> None:
    with running_central(tmp_path / "one") as central:
        copy = tmp_path / "copy"
        central.type("admin", "backup", str(copy), "--data", str(central.data))
        with (copy / "store.sqlite").open("r+b") as store:
            store.seek(5_000)
            store.write(b"spoilt")
        out = central.type("admin", "restore", str(copy), "--data", str(tmp_path / "n"), code=3)

        assert "damaged" in out
        assert not (tmp_path / "n").exists()


def test_files_that_are_gone_are_told_by_doctor_backup_and_logs(tmp_path: Path) -> None:
    with running_central(tmp_path / "one") as central:
        central.pilot("PIC", cores=1)
        (job,) = central.client.submit([Job(command=("echo", "hello"))]).ids()
        central.client.job(job).wait(60)
        before = at_fault(said(central, "--store", "--files"))
        for file in (central.data / "blobs").glob("[0-9a-f][0-9a-f]/*"):
            file.unlink()
        where = ("--data", str(central.data))
        logs = central.type("logs", str(job), code=3)
        copied = central.type("admin", "backup", str(tmp_path / "copy"), *where, code=1)

        assert before == []
        assert f"the stdout of job {job} is lost" in logs
        assert "missing files of jobs: " in copied
        (fault,) = at_fault(said(central, "--store", code=1))
        assert fault.startswith("files: ")


def test_doctor_sees_a_central_that_is_gone_and_a_store_that_does_not_fit(tmp_path: Path) -> None:
    with running_central(tmp_path / "one") as central:
        central.client.submit([Job(command=("true",))] * 3)
        lines = central.type("doctor", "--data", str(central.data), "--store").splitlines()
        central.kill9()
        gone = said(central, code=1)

        assert all(line.split()[0] in ("ok", "warning", "→") for line in lines), lines
        assert any("its counters agree with the rows" in line for line in lines)
        assert [one["check"] for one in gone if one["level"] == "fault"] == ["central"]
