"""What people ask of jobs, and what comes back: on a real pilot, through SDK and command line."""

import io
import json
import re
import tarfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from pilotage.central.client import Client, JobHandle, LocalFile, errors
from pilotage.proto.api.jobs import JobFilter
from pilotage.proto.documents.job import Job, JobLimits, Need, OutputPattern
from pilotage.proto.job_states import JobState

from .beacons import Beacons, outside_tmp
from .running import SOON_S, RunningCentral, eventually, running_central

LEASE_S = 15.0
BEAT_S = LEASE_S / 3
CORES = 4


@pytest.fixture(scope="module")
def central(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningCentral]:
    options = {"lease.lease_s": f"{LEASE_S:.0f}", "lease.lost_max": "2"}
    with running_central(tmp_path_factory.mktemp("control"), options) as central:
        central.pilot("PIC", cores=CORES)
        yield central


@pytest.fixture
def beacons(central: RunningCentral, request: pytest.FixtureRequest) -> Beacons:
    return Beacons(central.folder / cast(Any, request).node.name)


def shell(script: str, **more: Any) -> Job:
    return Job(command=("sh", "-c", script), needs=(Need(wall_s=600),), **more)


def run(central: RunningCentral, job: Job) -> JobHandle:
    return central.client.submit(job).handles()[0]


def events(job: JobHandle) -> list[str]:
    return [one.event for one in job.history().occurrences]


# -- actions on jobs that run --------------------------------------------------------------------


def test_a_kill_reaches_a_running_payload_within_two_beats(
    central: RunningCentral, beacons: Beacons
) -> None:
    job = run(central, beacons.job(600.0))
    eventually(lambda: beacons.running(job.id))
    said = json.loads(central.type("kill", "--json", "--reason", "not needed", str(job.id)))
    asked_at = time.monotonic()
    view = job.wait(SOON_S)

    assert said["done"] == 1
    assert (view.state, view.reason) == (JobState.KILLED, "not needed")
    assert beacons.of(job.id)[-1].last - asked_at < 2 * BEAT_S
    assert "not needed" in [one.detail for one in job.history().occurrences]
    assert "exited" not in events(job)


def test_a_running_job_is_held_released_and_rescheduled(
    central: RunningCentral, beacons: Beacons
) -> None:
    job = run(central, beacons.job(600.0, 0.2))
    eventually(lambda: beacons.running(job.id))
    job.hold("look at it first")
    eventually(lambda: job.state() is JobState.HELD, what="the hold")

    assert not beacons.of(job.id)[-1].ended
    job.release()
    assert job.wait(SOON_S).state is JobState.DONE
    again = job.reschedule()
    assert again.done == 1
    view = job.wait(SOON_S)
    assert (view.state, view.round, view.epoch) == (JobState.DONE, 2, 3)
    assert events(job).count("exited") == 2, "the result of the first round is kept"
    assert beacons.overlaps() == []


def test_a_running_job_that_is_rescheduled_starts_again(
    central: RunningCentral, beacons: Beacons
) -> None:
    job = run(central, beacons.job(600.0, 0.2))
    eventually(lambda: beacons.running(job.id))
    job.reschedule()
    view = job.wait(SOON_S)

    assert (view.state, view.epoch) == (JobState.DONE, 2)
    assert beacons.overlaps() == []


def test_a_higher_priority_runs_earlier(central: RunningCentral, beacons: Beacons) -> None:
    whole_node = Job(command=beacons.job(600.0).command, needs=(Need(cores_min=CORES, wall_s=600),))
    blocker = run(central, whole_node)
    eventually(lambda: beacons.running(blocker.id))
    quick = Job(command=beacons.job(0.1).command, needs=(Need(cores_min=CORES, wall_s=600),))
    first, second, third = central.client.submit([quick] * 3).handles()
    central.client.prioritise(8, [third.id])
    second.prioritise(1)
    blocker.kill()
    for job in (first, second, third):
        job.wait(SOON_S)
    began = {job: beacons.of(job.id)[0].began for job in (first, second, third)}

    assert sorted(began, key=lambda job: began[job]) == [third, first, second]
    with pytest.raises(errors.Invalid, match="priority"):
        central.client.prioritise(11, [first.id])


def test_what_ended_can_be_deleted_and_what_runs_cannot(
    central: RunningCentral, beacons: Beacons
) -> None:
    ended, running = run(central, shell("true", type="Del")), run(central, beacons.job(600.0))
    ended.wait(SOON_S)
    eventually(lambda: beacons.running(running.id))
    said = central.type("delete", str(ended.id), str(running.id), "--yes", code=3)

    assert "kill it first" in said
    assert list(central.client.search(JobFilter(type="Del"))) == []
    found = list(central.client.search(JobFilter(type="Del", include_deleted=True)))
    assert [view.id for view in found] == [ended.id]
    assert running.kill().done == 1
    running.wait(SOON_S)


def test_a_filter_with_a_wrong_count_does_nothing(central: RunningCentral) -> None:
    jobs = central.client.submit([Job(command=("true",), needs=(Need(sites=("NOWHERE",)),))] * 3)
    chosen = JobFilter(submission=jobs.id)
    with pytest.raises(errors.CountChanged, match="3 jobs match now, not 2"):
        central.client.kill(filter=chosen, expected=2)

    assert jobs.states() == {JobState.WAITING: 3}
    assert central.client.kill(filter=chosen, expected=3).done == 3
    assert jobs.states() == {JobState.KILLED: 3}


# -- how a job ends ------------------------------------------------------------------------------


#       script                                    of the job                          ends    why
ENDS: list[tuple[str, dict[str, Any], JobState, str]] = [
    ("exit 3", {}, JobState.FAILED, "exit code 3"),
    ("exit 3", {"success_codes": (0, 3)}, JobState.DONE, ""),
    ("kill -SEGV $$", {}, JobState.FAILED, "signal 11"),
    ("test $PILOTAGE_EPOCH = 3", {"retries": 2}, JobState.DONE, ""),
    ("false", {"retries": 1}, JobState.FAILED, "exit code 1"),
    ("true", {"outputs": (OutputPattern(pattern="*.dat"),)}, JobState.FAILED, "*.dat"),
    (
        "true",
        {"outputs": (OutputPattern(pattern="*.dat", required=False),)},
        JobState.DONE,
        "",
    ),
    ("exec no-such-program", {}, JobState.FAILED, "exit code 127"),
]


def test_jobs_end_as_their_codes_retries_and_outputs_say(central: RunningCentral) -> None:
    jobs = central.client.submit([shell(script, **more) for script, more, _, _ in ENDS])
    no_program = run(central, Job(command=("no-such-program",)))
    too_long = run(central, Job(command=("sleep", "600"), needs=(Need(wall_s=1),)))
    late = run(central, Job(command=("true",), queue_s=1, needs=(Need(sites=("NOWHERE",)),)))
    jobs.wait(SOON_S)
    views = list(jobs.views())

    assert [view.state for view in views] == [state for _, _, state, _ in ENDS]
    for view, (_, _, _, why) in zip(views, ENDS, strict=True):
        assert why in view.reason, view
    assert [views[3].failures, views[3].epoch] == [2, 3]
    assert [views[4].failures, views[4].epoch] == [2, 2]
    for job, why in ((no_program, "no-such-program"), (too_long, "wall"), (late, "queue_s")):
        view = job.wait(SOON_S)
        assert (view.state, why in view.reason) == (JobState.FAILED, True), view


EATS = "x=$(head -c 200000000 /dev/zero | tr '\\0' x); sleep 60"
#       script                               needs                  limits               why
PASSED: list[tuple[str, Need, JobLimits, str]] = [
    (EATS, Need(memory_mb=50), JobLimits(), r"memory: used \d+ MB, was given 50 MB"),
    (
        "head -c 50000000 /dev/zero > x; sleep 60",
        Need(scratch_mb=10),
        JobLimits(),
        r"scratch: wrote \d+ MB to its folder, was given 10 MB",
    ),
    (
        "head -c 50000000 /dev/zero; sleep 60",
        Need(),
        JobLimits(streams_mb=10),
        r"streams: printed \d+ MB, was given 10 MB",
    ),
    ("while :; do :; done", Need(), JobLimits(cpu_s=1), r"cpu: used \d s of CPU, was given 1 s"),
    (
        "for i in 1 2 3 4 5; do sleep 60 & done; wait",
        Need(),
        JobLimits(processes=4),
        r"processes: had \d processes at once, was given 4",
    ),
    ("sleep 60", Need(), JobLimits(stall_s=1), r"stalled: used no CPU for \d s, the limit is 1 s"),
]


def test_a_job_that_passes_a_limit_fails_and_says_by_how_much(central: RunningCentral) -> None:
    jobs = central.client.submit(
        [
            Job(command=("sh", "-c", script), needs=(need,), limits=limits)
            for script, need, limits, _ in PASSED
        ]
    )
    jobs.wait(SOON_S)
    details = [job.detail() for job in jobs.handles()]
    views, attempts = [one.view for one in details], [one.attempts[-1] for one in details]

    assert {view.state for view in views} == {JobState.FAILED}
    for view, (_, _, _, why) in zip(views, PASSED, strict=True):
        assert re.fullmatch(why, view.reason), view.reason
    assert [one.how for one in attempts] == [why.partition(":")[0] for _, _, _, why in PASSED]
    assert attempts[0].usage["memory_peak_mb"] > 50
    assert attempts[1].usage["scratch_peak_mb"] > 10
    assert attempts[3].usage["cpu_s"] > 1


def test_a_payload_hears_a_warning_before_its_wall_time_is_over(central: RunningCentral) -> None:
    script = 'trap "echo warned; exit 0" USR1; for i in $(seq 300); do sleep 0.1; done'
    job = run(
        central,
        Job(
            command=("sh", "-c", script),
            needs=(Need(wall_s=4),),
            limits=JobLimits(warning_s=3),
        ),
    )
    view = job.wait(SOON_S)

    assert view.state == JobState.DONE
    assert b"".join(job.log()) == b"warned\n"


# -- files ---------------------------------------------------------------------------------------


class Counting(httpx.AsyncHTTPTransport):
    """Counts uploads."""

    uploads = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.uploads += request.method == "PUT"
        return await super().handle_async_request(request)


def test_a_file_travels_once_however_often_it_is_sent(
    central: RunningCentral, tmp_path: Path
) -> None:
    token = (central.data / "admin.token").read_text().strip()
    one, same, other = tmp_path / "one", tmp_path / "same", tmp_path / "other"
    one.write_bytes(b"x" * 100_000)
    same.write_bytes(b"x" * 100_000)
    other.write_bytes(b"y" * 100_000)
    wire = Counting()
    with Client(central.url, token, http=wire) as client:
        first = client.upload([one])
        again = client.upload([one, same, LocalFile(one, name="third")])
        assert wire.uploads == 1
        client.upload([one, other])

    assert wire.uploads == 2
    assert {item.sha256 for item in again} == {first[0].sha256}
    job = run(central, shell("cat one same third | wc -c", inputs=tuple(again)))
    assert job.wait(SOON_S).state is JobState.DONE
    assert b"".join(job.log()).strip() == b"300000"


def _tar(path: Path, members: dict[str, tarfile.TarInfo | bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, member in members.items():
            if isinstance(member, bytes):
                info = tarfile.TarInfo(name)
                info.size = len(member)
                archive.addfile(info, io.BytesIO(member))
            else:
                archive.addfile(member)
    return path


def test_archives_are_unpacked_and_those_that_lead_out_are_refused(
    central: RunningCentral, tmp_path: Path
) -> None:
    link = tarfile.TarInfo("way-out")
    link.type, link.linkname = tarfile.SYMTYPE, "../../../.."
    good = _tar(tmp_path / "good.tar.gz", {"data/a": b"A", "data/b": b"B"})
    evil = [
        _tar(tmp_path / "up.tar.gz", {"../../../escaped": b"!"}),
        _tar(tmp_path / "absolute.tar.gz", {str(tmp_path / "escaped"): b"!"}),
        _tar(tmp_path / "link.tar.gz", {"way-out": link, "way-out/escaped": b"!"}),
        _tar(tmp_path / "good.tar.gz.cut", {"a": bytes(100_000)}),
    ]
    evil[3].write_bytes(evil[3].read_bytes()[:60])
    upload = central.client.upload
    unpacked = run(
        central,
        shell("cat data/a data/b", inputs=tuple(upload([LocalFile(good, unpack=True)]))),
    )
    refused = [
        run(central, shell("true", inputs=tuple(upload([LocalFile(one, unpack=True)]))))
        for one in evil
    ]

    assert unpacked.wait(SOON_S).state is JobState.DONE
    assert b"".join(unpacked.log()) == b"AB"
    for job, file in zip(refused, evil, strict=True):
        view = job.wait(SOON_S)  # no other pilot could unpack it either
        assert (view.state, view.losses) == (JobState.FAILED, 0), view
        assert file.name in view.reason
        assert "started" not in events(job)
    assert list(central.folder.rglob("escaped")) == []
    assert not (tmp_path / "escaped").exists()


def test_outputs_are_kept_by_glob_and_come_back_whole(
    central: RunningCentral, tmp_path: Path
) -> None:
    script = """
        mkdir -p deep/er; echo 1 > a.dat; echo 2 > b.dat; echo 3 > c.txt; echo 4 > deep/er/d.dat
        ln -s /etc/hostname stolen.dat; head -c 2000000 /dev/zero > deep/zeros.bin
    """
    patterns = ("*.dat", "deep/**/*.dat", "deep/zeros.bin")
    outputs = tuple(OutputPattern(pattern=one) for one in patterns)
    job = run(central, shell(script, outputs=outputs))
    assert job.wait(SOON_S).state is JobState.DONE
    kept = {one.name: one.size_bytes for one in job.outputs() if not one.name.startswith(".")}

    assert kept == {"a.dat": 2, "b.dat": 2, "deep/er/d.dat": 2, "deep/zeros.bin": 2_000_000}
    job.download("deep/zeros.bin", tmp_path)
    assert (tmp_path / "deep/zeros.bin").read_bytes() == bytes(2_000_000)


def test_the_end_of_a_long_output_is_kept(central: RunningCentral) -> None:
    job = run(central, shell("yes 0123456 | head -c 2400000; echo the end; echo oh >&2"))
    assert job.wait(SOON_S).state is JobState.DONE
    kept = b"".join(job.log())

    assert len(kept) == 1_000_000
    assert kept.endswith(b"0123456\nthe end\n")


def test_what_a_job_writes_can_be_followed_while_it_runs(central: RunningCentral) -> None:
    flag = outside_tmp(central.folder / "go-on")
    script = f"echo before; while [ ! -e {flag} ]; do sleep 0.05; done; echo after"
    job = run(central, shell(script))
    heard = b""
    for piece in job.log(follow=True):
        heard += piece
        if heard == b"before\n":
            assert b"".join(job.log()) == b"before\n"  # without following, too
            flag.touch()

    assert heard == b"before\nafter\n"
    assert job.wait(SOON_S).state is JobState.DONE
