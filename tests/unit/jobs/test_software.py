"""What is refused of an image, folders of software and modules, and whom an image needs."""

from typing import Any

import msgspec
import pytest

from pilotage.central.errors import Refused
from pilotage.central.jobs.definition.checks import check
from pilotage.central.jobs.definition.software import needs_of
from pilotage.matcher.clauses.tag_expressions import parse
from pilotage.proto.documents.job import Job, Need
from pilotage.proto.images import kind_of

JOB = Job(command=("true",))

KINDS = {
    "/cvmfs/singularity.example.org/ctapipe-0.20.sif": "sif",
    "/images/Old.SIMG": "sif",
    "/cvmfs/unpacked.cern.ch/registry.hub.docker.com/library/debian:stable": "folder",
    "/images/debian.tar": "tar",
    "/images/debian.tar.gz": "tar",
    "/images/debian.tar.d": "folder",
    "docker://debian:13": "docker",
}


@pytest.mark.parametrize("image", KINDS)
def test_the_end_of_its_path_says_which_kind_an_image_is(image: str) -> None:
    assert kind_of(image) == KINDS[image]


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "capitals": ({"image": "docker://Debian"}, "job.image", "lower-case"),
    "tag": ({"image": "docker://debian:a b"}, "job.image", "as in docker://python:3.11"),
    "digest": ({"image": "docker://debian@sha256:ab"}, "job.image", "64 digits"),
    "no name": ({"image": "docker://ghcr.io/"}, "job.image", "NAME must be"),
    "other": ({"image": "oras://ghcr.io/a"}, "job.image", "expected docker://NAME:TAG"),
    "relative": ({"image": "debian.sif"}, "job.image", "absolute path"),
    "leads up": ({"image": "/cvmfs/../etc"}, "job.image", "'..'"),
    "everything": ({"image": "//"}, "job.image", "root folder"),
    "control": ({"image": "/a\nb"}, "job.image", "control characters"),
    "modules": ({"image": "/a.sif", "modules": ("gcc",)}, "job.modules", "remove modules or image"),
    "up": ({"software": ("/cvmfs/a", "/b/..")}, "job.software[1]", "'..'"),
    "colon": ({"software": ("/a:b",)}, "job.software[0]", "colon"),
    "braces": ({"software": ("/a/{os}",)}, "job.software[0]", "{level}"),
    "lone": ({"software": ("/a/{level}}",)}, "job.software[0]", "{level}"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_pilot_could_bring_together_is_refused_by_name(case: str) -> None:
    said, field, why = REFUSED[case]

    with pytest.raises(Refused) as refused:
        check(msgspec.structs.replace(JOB, **said), "job")

    assert refused.value.field == field
    assert why in str(refused.value)


def test_what_a_node_may_have_is_taken() -> None:
    check(
        msgspec.structs.replace(JOB, image="/cvmfs/x.org/a b.sif", software=("/a/{level}",)), "job"
    )
    check(msgspec.structs.replace(JOB, modules=("gcc/13", "root")), "job")


def test_an_image_adds_to_every_need_the_tag_of_pilots_that_can_run_it() -> None:
    needs = (Need(), Need(tags="gpu | fast", cores_min=4))
    job = msgspec.structs.replace(JOB, image="/a.sif", needs=needs)

    plain, fast = needs_of(job)

    assert plain.tags == "image:sif"
    assert parse(fast.tags).holds(frozenset({"gpu", "image:sif"}))
    assert not parse(fast.tags).holds(frozenset({"gpu", "image:folder"}))
    assert not parse(fast.tags).holds(frozenset({"image:sif"}))
    assert fast.cores_min == 4
    assert needs_of(JOB) == JOB.needs


def test_an_image_of_a_registry_needs_a_pilot_that_may_fetch_from_it() -> None:
    job = msgspec.structs.replace(JOB, image="docker://ghcr.io/a/b:1", needs=(Need(),))

    (need,) = needs_of(job)

    wanted = parse(need.tags)
    assert wanted.holds(frozenset({"image:docker"}))
    assert wanted.holds(frozenset({"image:docker/ghcr.io"}))
    assert not wanted.holds(frozenset({"image:docker/docker.io", "image:tar"}))


def test_tags_that_leave_no_room_for_the_images_are_refused() -> None:
    tags = "&".join(["t" * 99] * 10)
    job = msgspec.structs.replace(JOB, image="/a.sif", needs=(Need(tags=tags),))
    check(msgspec.structs.replace(job, needs=(Need(tags=tags[:-40]),)), "job")

    with pytest.raises(Refused, match="expected at most 1010"):
        check(msgspec.structs.replace(job, needs=(Need(tags=tags + "|" + "x" * 24),)), "job")
