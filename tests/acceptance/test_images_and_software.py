"""Jobs that name an image or software, from submission to result, on real pilots."""

import json
from collections.abc import Generator
from pathlib import Path

import pytest

from pilotage.central.client import JobHandle, errors
from pilotage.pilot.outfit import isolation
from pilotage.proto.documents.job import Job, Need
from pilotage.proto.job_states import JobState
from tests.services.folders import open_folder
from tests.services.image_tree import MARK, SmallImage, small_image
from tests.services.registry import running_registry

from .running import SOON_S, RunningCentral, eventually, running_central

pytestmark = pytest.mark.skipif(
    not isolation.works(isolation.BUBBLEWRAP), reason="bubblewrap does not work here"
)


@pytest.fixture(scope="module")
def folder() -> Generator[Path]:
    """Yield a folder on a disk: payloads in images see a /dev/shm of their own."""
    with open_folder("images") as made:
        yield made


@pytest.fixture(scope="module")
def central(folder: Path) -> Generator[RunningCentral]:
    options = {"lease.lost_max": "3"}
    with running_central(folder / "story", options) as central:
        central.pilot("PIC", image_tools=("none",))
        yield central


@pytest.fixture(scope="module")
def image(folder: Path) -> SmallImage:
    return small_image(folder)


def _run(central: RunningCentral, job: Job) -> JobHandle:
    return central.client.submit(job).handles()[0]


def _said(job: JobHandle) -> str:
    return b"".join(job.log()).decode()


def test_a_job_in_an_image_waits_for_a_pilot_that_can_run_it(
    central: RunningCentral, image: SmallImage
) -> None:
    job = _run(central, Job(command=("cat", "/etc/mark"), image=str(image.tree), needs=(Need(),)))
    plain = _run(central, Job(command=("true",)))
    plain.wait(SOON_S)
    waiting = central.type("explain", str(job.id))
    before = job.state()
    central.pilot("CSCS", image_tools=("bubblewrap",))
    after = job.wait(SOON_S).state

    assert "image:folder" in waiting
    assert (before, after) == (JobState.WAITING, JobState.DONE)
    (attempt,) = job.detail().attempts
    assert (attempt.site, attempt.isolation) == ("CSCS", "bubblewrap")
    assert _said(job) == f"{MARK}\n"


def test_software_that_is_nowhere_holds_the_job_and_says_what_is_missing(
    central: RunningCentral,
) -> None:
    job = _run(central, Job(command=("true",), software=("/opt/no-such-software/{level}",)))
    eventually(lambda: job.state() is JobState.HELD, what="the hold")
    view = job.view()

    assert "lost_too_often: 3 attempts were lost" in view.reason
    assert "software /opt/no-such-software/{level} is not on this node" in view.reason
    assert {one.how for one in job.detail().attempts} == {"software"}


def test_software_that_is_there_is_on_the_path(central: RunningCentral, tmp_path: Path) -> None:
    program = tmp_path / "x86-64-v1" / "bin" / "greet"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "hello from $PILOTAGE_SOFTWARE"\n')
    program.chmod(0o755)
    options = ("--json", "--software", f"{tmp_path}/{{level}}")
    said = json.loads(central.type("submit", *options, "--", "greet"))
    job = central.client.job(said["ids"][0]["first"])
    job.wait(SOON_S)

    assert _said(job) == f"hello from {tmp_path}/x86-64-v1\n"


def test_a_bad_name_of_an_image_is_refused_when_it_is_submitted(central: RunningCentral) -> None:
    with pytest.raises(
        errors.Invalid, match=r"jobs\[0\]\.image: 'docker://Debian'.*docker://python:3"
    ):
        _run(central, Job(command=("true",), image="docker://Debian"))


def test_a_job_in_an_image_of_a_registry_waits_for_a_pilot_that_may_fetch_it(
    central: RunningCentral, image: SmallImage, folder: Path
) -> None:
    (folder / "registry").mkdir()
    with running_registry(folder / "registry") as registry:
        digest = registry.push(image, "team/small:1")
        said = f"docker://{registry.host}/team/small:1"
        central.pilot("DESY", image_tools=("podman",), registries=("ghcr.io",))
        job = _run(central, Job(command=("cat", "/etc/mark"), image=said))
        waiting = central.type("explain", str(job.id))
        before = job.state()
        central.pilot("KIT", image_tools=("podman",), registries=(registry.host,))
        after = job.wait(SOON_S)
        shown = central.type("show", str(job.id))

    assert f"image:docker/{registry.host}" in waiting
    assert (before, after.state) == (JobState.WAITING, JobState.DONE), after.reason
    (attempt,) = job.detail().attempts
    assert (attempt.site, attempt.isolation) == ("KIT", "podman")
    assert attempt.image == f"{registry.host}/team/small@{digest}"
    assert f"image of attempt 1: {attempt.image}\n" in shown
    assert _said(job) == f"{MARK}\n"


def test_an_image_that_is_not_in_its_registry_uses_up_no_retry(
    central: RunningCentral, folder: Path
) -> None:
    (folder / "empty").mkdir()
    with running_registry(folder / "empty") as registry:
        central.pilot("CSCS", image_tools=("podman",))
        job = _run(central, Job(command=("true",), image=f"docker://{registry.host}/gone:1"))
        eventually(lambda: _ends(job), what="the end of an attempt")

    first = job.detail().attempts[0]
    assert (first.how, first.failure) == ("software", "infra.node")
    assert f"registry {registry.host}: it has no such image" in first.detail
    assert job.state() in (JobState.WAITING, JobState.MATCHED, JobState.HELD)


def _ends(job: JobHandle) -> list[str]:
    return [one.how for one in job.detail().attempts if one.ended_at]
