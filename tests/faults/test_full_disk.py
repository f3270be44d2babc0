"""Promise P11: a full disk stops accepting and loses nothing; with room again it goes on."""

import asyncio
import hashlib
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from pilotage.central.client import Client
from pilotage.central.operate.datadir import running_on
from pilotage.pilot.journal import FileJournal
from pilotage.proto.documents.job import Job, Need
from pilotage.proto.job_states import JobState
from tests.acceptance.running import eventually, running_central

from .campaign import Stage, under_load

DISK_MB = 12
PART_BYTES = 1 << 16
OPTIONS = {"lease.lease_s": "6"}
EXIT_BROKEN = 70


@contextmanager
def small_disk(place: Path, size_mb: int = DISK_MB) -> Generator[Path]:
    """Give a file system of a few megabytes at `place`."""
    place.mkdir(parents=True)
    size = f"size={size_mb}m,mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "pilotage-test", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def may_mount() -> bool:
    """Say whether this process may mount: root in most places, nobody in a plain container."""
    probe = ["unshare", "--mount", "mount", "-t", "tmpfs", "pilotage-test", "/mnt"]
    return subprocess.run(probe, capture_output=True).returncode == 0


def fill(place: Path) -> Path:
    """Take what room there is, to the last byte."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file:
        size = PART_BYTES
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2
    return filler


async def refused(stage: Stage) -> httpx.Response:
    """Submit until that is refused, and return how."""
    headers = {
        "Authorization": f"Bearer {(stage.central.data / 'admin.token').read_text().strip()}"
    }
    async with httpx.AsyncClient(base_url=stage.central.url, headers=headers) as http:
        async with asyncio.timeout(20.0):
            for number in range(10_000):
                body = {"key": f"while it is full {number}", "jobs": [{"command": ["true"]}]}
                reply = await http.post("/v1/submissions", json=body)
                if reply.status_code != 200:
                    return reply
                ids = [one["first"] for one in reply.json()["ranges"]]
                stage.people[0].acknowledged[f"while it is full {number}"] = ids
    raise AssertionError("a full disk took everything")


@pytest.mark.skipif(not may_mount(), reason="needs the right to mount; the other test does not")
async def test_a_full_disk_refuses_by_name_and_everything_goes_on_with_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "central"):
        async with under_load(tmp_path, OPTIONS, pause_s=0.1) as stage:
            for _ in range(2):
                await asyncio.sleep(0.6)
                filler = await asyncio.to_thread(fill, stage.central.data)
                reply = await refused(stage)
                health = await stage.client.health()  # what only reads works

                assert (reply.status_code, reply.json()["code"]) == (507, "store_full")
                assert health.pilots == len(stage.crowd.members)
                await asyncio.sleep(0.6)
                assert stage.central.process.poll() is None, "it ended"
                filler.unlink()
        assert set(stage.crowd.truth.statuses) <= {200, 507}


async def test_a_write_that_is_cut_off_ends_the_central_and_its_restart_has_everything(
    tmp_path: Path,
) -> None:
    """A quota, here the largest file: SQLite calls it an I/O error, after which nothing is sure."""
    async with under_load(tmp_path, OPTIONS, pause_s=0.1) as stage:
        await asyncio.sleep(1.0)
        process = stage.central.process
        log = (stage.central.data / "store.sqlite-wal").stat().st_size
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (log + 10_000, resource.RLIM_INFINITY))
        code = await asyncio.to_thread(process.wait, 20.0)

        assert code == EXIT_BROKEN
        await stage.restart()


@contextmanager
def served(data: Path, port: int, log: Path) -> Generator[subprocess.Popen[bytes]]:
    """Run `pilotage serve` on a data directory, with its log on another disk."""
    words = ["serve", "--data", str(data), "--port", str(port)]
    command = [sys.executable, "-m", "pilotage.central.cli", *words]
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(40)


def ready(url: str) -> int:
    """Return the status of /ready, 0 where nobody answers."""
    try:
        return httpx.get(f"{url}/ready", timeout=5.0).status_code
    except httpx.TransportError:
        return 0


@pytest.mark.skipif(not may_mount(), reason="needs the right to mount")
@pytest.mark.parametrize(
    ("kept_free", "begins", "status"),
    # The first is what the index of the log takes: then nothing more can be written.
    [(1 << 15, "central_started", 503), (0, "waiting for disk space to start", 0)],
    ids=["the store can be opened", "nothing can be opened"],
)
def test_a_central_that_is_started_on_a_full_disk_goes_on_with_room(
    tmp_path: Path, kept_free: int, begins: str, status: int
) -> None:
    log, data = tmp_path / "log", tmp_path / "central"
    with small_disk(data):
        with running_central(tmp_path) as central:
            (job,) = central.client.submit([Job(command=("true",))]).ids()
            token = (data / "admin.token").read_text().strip()
        spare = data / "spare"
        spare.write_bytes(bytes(kept_free))
        filler = fill(data)
        spare.unlink()
        with served(data, central.port, log) as process:
            eventually(lambda: begins in log.read_text(), what=begins)

            assert ready(central.url) == status
            filler.unlink()
            eventually(lambda: ready(central.url) == 200, what="the store")
            eventually(lambda: running_on(data), what="central.json")
            with Client(central.url, token) as client:
                assert client.job(job).view().state is JobState.WAITING
            assert process.poll() is None
        assert process.returncode == 0
        assert "Traceback" not in log.read_text()


@pytest.mark.long
@pytest.mark.skipif(not may_mount(), reason="needs the right to mount")
def test_a_pilot_whose_disk_is_full_reports_what_it_holds_and_works_on_with_room(
    tmp_path: Path,
) -> None:
    with running_central(tmp_path, OPTIONS) as central, small_disk(central.data / "pilots") as disk:
        pilot, client = central.pilot("PIC", cores=2), central.client
        sleep = Job(command=("sleep", "2"), needs=(Need(wall_s=600),))
        ids = list(client.submit([sleep] * 2).ids())
        eventually(
            lambda: {client.job(job).view().state for job in ids} == {JobState.RUNNING},
            what="the start",
        )
        filler = fill(disk)
        views = [client.job(job).wait(30) for job in ids]

        assert [(view.state, view.epoch) for view in views] == [(JobState.DONE, 1)] * 2
        assert pilot.process.poll() is None, "the pilot has died of it"
        filler.unlink()
        later = list(client.submit([sleep] * 4).ids())
        assert {client.job(job).wait(60).state for job in later} == {JobState.DONE}
        assert FileJournal(pilot.state / "journal").torn == []


@pytest.mark.long
@pytest.mark.skipif(not may_mount(), reason="needs the right to mount")
def test_near_the_end_of_a_disk_uploads_and_submissions_stop_and_ends_and_kills_fit(
    tmp_path: Path,
) -> None:
    options = {"store.reserve_mb": "2"}
    with small_disk(tmp_path / "central"), running_central(tmp_path, options) as central:
        pilot, client = central.pilot("PIC", cores=1), central.client
        token = (central.data / "admin.token").read_text().strip()
        sleep = Job(command=("sleep", "4"), needs=(Need(wall_s=600),))
        first, second, third = client.submit([sleep] * 3).ids()
        eventually(lambda: client.job(first).view().state is JobState.RUNNING, what="the start")
        filler = fill(central.data)
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=central.url, headers=headers) as http:
            content = b"x" * 1_000
            blob = f"/v1/blobs/{hashlib.sha256(content).hexdigest()}"
            wal = (central.data / "store.sqlite-wal").stat().st_size  # it counts twice
            with filler.open("rb+") as file:  # 3 MB are left: more than the reserve, not twice
                file.truncate(filler.stat().st_size - 3_000_000 - wal)
            eventually(lambda: "uploads" in http.get("/ready").text, what="the shortage")
            upload, short = http.put(blob, content=content), http.get("/ready")
            job = {"key": "small", "jobs": [{"command": ["true"]}]}
            taken = http.post("/v1/submissions", json=job)
            fill_to(central.data, filler, 800_000)
            eventually(
                lambda: http.post("/v1/submissions", json={**job, "key": "new"}).status_code == 507,
                what="the refusal of submissions",
            )
            eventually(lambda: ready(central.url) == 503, what="that it is not ready")
            ended = client.job(first).wait(60)
            client.kill([second])
            killed = client.job(second).wait(60)
            filler.unlink()
            eventually(lambda: ready(central.url) == 200, what="room")
            again = http.put(blob, content=content)

        assert (upload.status_code, upload.json()["code"]) == (507, "store_full")
        assert short.status_code == 200
        assert re.match(
            r"uploads are refused: [\d.]+ MB free, [\d.]+ MB required", short.json()["disk"]
        )
        assert taken.status_code == 200
        assert (ended.state, killed.state) == (JobState.DONE, JobState.KILLED)
        assert again.status_code == 200
        assert client.job(third).wait(60).state is JobState.DONE
        assert pilot.process.poll() is None


def fill_to(place: Path, filler: Path, left: int) -> None:
    """Let the filler grow until so many bytes are left on the disk."""
    with filler.open("ab", buffering=0) as file:
        while (room := os.statvfs(place)).f_bavail * room.f_frsize > left:
            file.write(bytes(PART_BYTES))


@pytest.mark.long
@pytest.mark.skipif(not may_mount(), reason="needs the right to mount")
def test_a_submission_larger_than_the_disk_leaves_the_reserve_and_the_room_for_a_restart(
    tmp_path: Path,
) -> None:
    data, log = tmp_path / "central", tmp_path / "log"
    lines = [b'{"command":["true","%s%d"]}\n' % (b"x" * 60_000, number) for number in range(1_700)]
    with small_disk(data, 110):
        with running_central(tmp_path, {"store.reserve_mb": "20"}) as central:
            token = (data / "admin.token").read_text().strip()
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-ndjson"}
            said = httpx.post(
                f"{central.url}/v1/submissions",
                content=iter([b'{"key":"large"}\n', *lines]),
                headers=headers,
                timeout=60.0,
            )
            free = shutil.disk_usage(data).free
            wal = (data / "store.sqlite-wal").stat().st_size
            central.process.kill()
            central.process.wait(20.0)
        with served(data, central.port, log):
            eventually(lambda: ready(central.url) != 0, what="the restart")

    assert (said.status_code, said.json()["code"]) == (507, "store_full")
    assert free > wal, "the log of the store cannot be copied"
    assert free > 15_000_000
    assert "waiting for disk space" not in log.read_text()
