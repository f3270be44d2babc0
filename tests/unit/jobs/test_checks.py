"""What is refused of a need although every field of it is in range."""

from typing import Any

import msgspec
import pytest

from pilotage.central.errors import Refused
from pilotage.central.jobs.definition.checks import SITES_MAX, TAGS_MAX, check, group_of
from pilotage.proto.amounts import AMOUNTS_MAX
from pilotage.proto.claims import Role
from pilotage.proto.documents.job import Job, JobLimits, Need, Preference
from tests.unit.identity.issuer import person

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"cores_min": 4, "cores_max": 2}, "cores_max: 2 must not be less than cores_min 4"),
    ({"gpus_min": 4, "gpus_max": 2}, "gpus_max: 2 must not be less than gpus_min 4"),
    (
        {"architecture_level_min": 3, "architecture_level_max": 2},
        "architecture_level_max: 2 must not be less than architecture_level_min 3",
    ),
    (
        {"architecture": "aarch64", "architecture_level_max": 2},
        "architecture_level_max: levels exist only for x86_64, but architecture is 'aarch64'",
    ),
    (
        {"architecture": "aarch64", "architecture_level_min": 1, "architecture_level_max": 2},
        "architecture_level_min: levels exist only for x86_64, but architecture is 'aarch64'",
    ),
    (
        {
            "gpus_min": 1,
            "gpu_compute_capability_min": "8.10",
            "gpu_compute_capability_max": "8.9",
        },
        "gpu_compute_capability_max: 8.9 must not be less than gpu_compute_capability_min 8.10",
    ),
    ({"whole_node": True, "cores_max": 2}, "cores_max: a whole node includes all its cores"),
    ({"gpu_vendor": "nvidia"}, "gpu_vendor: this needs a GPU: set gpus_min to 1 or more"),
    ({"gpu_memory_mb": 1, "gpus_max": 1}, "gpu_memory_mb: this needs a GPU"),
    ({"tags": "a &"}, "tags: tags 'a &', position 4: a tag is expected, but the text ends"),
    ({"os": "el 9"}, "os: expected only letters, digits and . _ : / @ + -, found 'el 9'"),
    ({"element": "e" * 129}, "element: expected at most 128 characters, found 129"),
    ({"architecture": " x86_64"}, "architecture: expected only letters"),
    ({"element": "a b"}, "element: expected only letters"),
    ({"sites": ("PIC",), "banned_sites": ("PIC",)}, "banned_sites: PIC is also in sites"),
]


@pytest.mark.parametrize(("wanted", "said"), REFUSED, ids=str)
def test_a_need_that_nothing_can_meet_is_refused_by_field(
    wanted: dict[str, Any], said: str
) -> None:
    with pytest.raises(Refused) as caught:
        check(Job(command=("true",), needs=(Need(), Need(**wanted))), "job")

    assert f"job.needs[1].{said}" in str(caught.value)


def named(prefix: str, count: int) -> tuple[str, ...]:
    return tuple(f"{prefix}{at}" for at in range(count))


def test_a_job_names_so_many_tags_sites_and_amounts_and_no_more() -> None:
    half = Need(
        tags=" & ".join(f"({tag} | ~other)" for tag in named("t", TAGS_MAX // 4)),
        banned_sites=named("B", SITES_MAX // 4),
        amounts=dict.fromkeys(named("net", AMOUNTS_MAX), 1),
    )
    preference = Preference(sites=named("S", SITES_MAX // 2))
    job = Job(command=("true",), needs=(half, half), preference=preference)
    check(job, "job")
    one_more = {
        "found 65 tags in all entries together, expected at most 64": Need(tags="one"),
        "found 257 sites in all entries together, expected at most 256": Need(sites=("one",)),
        "found 17 amounts in all entries together, expected at most 16": Need(
            amounts={"one_more": 1}
        ),
    }

    for said, need in one_more.items():
        with pytest.raises(Refused, match=f"job.needs: {said}"):
            check(msgspec.structs.replace(job, needs=(half, half, need)), "job")


def test_a_need_with_every_clause_is_taken() -> None:
    need = Need(
        cores_min=2,
        cores_max=4,
        gpus_min=1,
        gpus_max=1,
        gpu_vendor="nvidia",
        gpu_compute_capability_min="8.0",
        gpu_compute_capability_max="9.0",
        architecture="x86_64",
        architecture_level_min=3,
        architecture_level_max=3,
    )

    check(Job(command=("true",), needs=(need,)), "job")


@pytest.mark.parametrize(
    "path", ["/tmp/x", "../x", "a/../b", ".pilotage", ".pilotage/x", ".", "//"]
)
def test_a_checkpoint_is_a_folder_inside_of_the_jobs_folder(path: str) -> None:
    with pytest.raises(Refused) as why:
        check(Job(command=("run",), checkpoint=path), "jobs[0]")

    assert why.value.field == "jobs[0].checkpoint"
    check(Job(command=("run",), checkpoint="state/now"), "jobs[0]")


def test_a_warning_comes_after_the_start_whichever_need_is_met() -> None:
    limits = JobLimits(warning_s=600)
    job = Job(command=("true",), limits=limits, needs=(Need(wall_s=3_600), Need(wall_s=600)))

    with pytest.raises(Refused, match=r"limits.warning_s: 600 must be less than wall_s 600") as why:
        check(job, "jobs[0]")
    assert why.value.field == "jobs[0].limits.warning_s"
    check(msgspec.structs.replace(job, needs=(Need(wall_s=601),)), "jobs[0]")


def test_a_program_that_no_node_can_start_is_refused() -> None:
    check(Job(command=("x" * 4_096, "y" * 131_071)), "job")

    with pytest.raises(Refused, match="at most 4096: pass") as program:
        check(Job(command=("x" * 1_048_540,)), "job")
    with pytest.raises(Refused, match="at most 131071: pass") as word:
        check(Job(command=("x", "y" * 131_072)), "job")
    assert (program.value.field, word.value.field) == ("job.command[0]", "job.command[1]")


@pytest.mark.parametrize(
    ("role", "session", "remedy"),
    [
        (Role.MANAGER, "s1", "log in with the role user, `pilotage login --role user`"),
        (Role.USER, "s1", "ask an admin to map one of your groups"),
        (Role.MANAGER, "", "ask a manager or an admin for a token with a group"),
    ],
)
def test_a_caller_without_groups_hears_how_to_get_one(
    role: Role, session: str, remedy: str
) -> None:
    caller = msgspec.structs.replace(person(role), session=session)

    with pytest.raises(Refused, match=remedy):
        group_of(caller, Job(command=("run",)), "jobs[0]")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"stdout_file": "../std.out"}, "stdout_file"),
        ({"stderr_file": "/tmp/std.err"}, "stderr_file"),
        ({"stdout_file": "both", "stderr_file": "both"}, "stderr_file"),
        ({"id_placeholder": "%j", "environment": {"A": "%j" * 4_097}}, "id_placeholder"),
    ],
)
def test_files_of_streams_and_places_of_the_id_are_bounded(
    fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(Refused) as refused:
        check(Job(command=("true",), **fields), "jobs[0]")

    assert refused.value.field == f"jobs[0].{field}"
