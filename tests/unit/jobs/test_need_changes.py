"""Changes of the needs of stored jobs."""

from typing import Any

import pytest

from pilotage.central.errors import Refused
from pilotage.central.jobs.definition.need_changes import NeedChange, current
from pilotage.central.jobs.definition.normal_form import normal_needs
from pilotage.central.jobs.definition.software import needs_of
from pilotage.proto.documents.job import Job, JobData, JobLimits, Need

SIF = "/images/a.sif"


def a_job(*needs: Need, **fields: Any) -> Job:
    return Job(command=("true",), needs=needs or (Need(),), **fields)


def changed(job: Job, times: dict[str, float] | None = None, **needs: Any) -> tuple[Need, ...]:
    """Return the needs of the class after a change."""
    return NeedChange(needs, times or {}).applied(job, normal_needs(needs_of(job)))


def test_new_values_and_factors_apply_to_each_alternative() -> None:
    job = a_job(Need(memory_mb=1_000, wall_s=100, os="el9"), Need(memory_mb=3_000, cores_min=2))

    one, two = changed(job, {"memory_mb": 1.5, "wall_s": 2}, sites=["PIC", "CNAF"])

    assert (one.memory_mb, one.wall_s, one.os, one.sites) == (1_500, 200, "el9", ("CNAF", "PIC"))
    assert (two.memory_mb, two.wall_s, two.cores_min) == (4_500, 172_800, 2)


def test_a_factor_of_memory_takes_both_parts_of_it() -> None:
    job = a_job(Need(memory_mb=500, memory_per_core_mb=1_000, cores_min=4))

    (both,) = changed(job, {"memory_mb": 2})
    (one,) = changed(job, {"memory_mb": 2}, memory_per_core_mb=0)

    assert (both.memory_mb, both.memory_per_core_mb) == (1_000, 2_000)
    assert (one.memory_mb, one.memory_per_core_mb) == (1_000, 0)


def test_tags_that_the_image_implies_stay() -> None:
    job = a_job(Need(tags="gpu"), image=SIF)
    (before,) = needs_of(job)

    (wall,) = changed(job, wall_s=7)
    (tags,) = changed(job, tags="cvmfs")

    assert wall.tags == normal_needs((before,))[0].tags
    assert "cvmfs" in tags.tags and "gpu" not in tags.tags
    assert "sif" in tags.tags.lower() or tags.tags.count("&") == wall.tags.count("&")


@pytest.mark.parametrize(
    ("needs", "times", "said"),
    [
        ({"memory_mb": "8GB"}, {}, "memory_mb"),
        ({"memroy_mb": 8}, {}, "memory_mb"),
        ({}, {"cores_min": 2}, "cores_min"),
        ({"wall_s": 5}, {"wall_s": 2}, "either a value or a factor"),
    ],
)
def test_a_wrong_change_is_refused_as_a_whole(
    needs: dict[str, Any], times: dict[str, float], said: str
) -> None:
    with pytest.raises(Refused, match=said):
        NeedChange(needs, times)


@pytest.mark.parametrize(
    ("job", "needs", "times", "said"),
    [
        (a_job(), {}, {"memory_mb": 2}, "asks for no memory"),
        (a_job(Need(cores_min=4)), {"cores_max": 2}, {}, "cores_max: 2 must not be less"),
        (a_job(limits=JobLimits(warning_s=60)), {"wall_s": 30}, {}, "warning_s"),
        (a_job(data=JobData()), {"sites": ["PIC"]}, {}, "its files decide"),
        (a_job(Need(memory_mb=9 * 10**7)), {}, {"memory_mb": 2}, "memory_mb"),
        (a_job(), {"tags": "gpu &"}, {}, "tags"),
    ],
)
def test_a_change_that_a_job_cannot_have_is_refused(
    job: Job, needs: dict[str, Any], times: dict[str, float], said: str
) -> None:
    change = NeedChange(needs, times)

    with pytest.raises(Refused, match=said):
        change.applied(job, normal_needs(needs_of(job)))


def test_a_job_shows_what_was_changed_and_else_what_was_submitted() -> None:
    job = a_job(Need(tags="b & a", sites=("PIC", "CNAF"), memory_mb=5), image=SIF)
    assert current(job, normal_needs(needs_of(job))) is job

    shown = current(job, changed(job, memory_mb=7))

    assert shown.needs == (Need(tags="b & a", sites=("PIC", "CNAF"), memory_mb=7),)


def test_a_job_with_files_shows_its_own_sites() -> None:
    job = a_job(Need(memory_mb=5), data=JobData())
    placed = tuple(
        Need(memory_mb=7, sites=("PIC",), tags=need.tags) for need in normal_needs(needs_of(job))
    )

    assert current(job, placed).needs == (Need(memory_mb=7),)


def test_a_change_in_words() -> None:
    assert str(NeedChange({"memory_mb": 8_000, "sites": ["PIC"]}, {"wall_s": 1.5})) == (
        'memory_mb=8000, sites=["PIC"], wall_s x1.5'
    )
    assert not NeedChange({}, {})
