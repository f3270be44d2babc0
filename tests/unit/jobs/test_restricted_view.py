"""What a reader is not shown of a job."""

import msgspec

from pilotage.central.jobs.restricted_view import sealed
from pilotage.proto.api.jobs import SEALED_SHA256, JobDetail, JobView, OutputView
from pilotage.proto.documents.job import Input, Job
from pilotage.proto.job_states import JobState

DETAIL = JobDetail(
    view=JobView(
        id=1,
        submission=1,
        name="",
        type="User",
        community="ctao",
        group="mc",
        owner="ada",
        state=JobState.DONE,
        priority=5,
    ),
    job=Job(
        command=("run", "it"),
        environment={"PASSWORD": "hunter2"},
        inputs=(Input(name="in", sha256="a" * 64, size_bytes=3),),
    ),
    outputs=[OutputView(name="out", size_bytes=4, sha256="b" * 64, epoch=1)],
)


def test_a_sealed_job_keeps_names_and_sizes_but_no_hash_and_no_value() -> None:
    shown = sealed(DETAIL)
    text = msgspec.json.encode(shown).decode()

    assert shown.sealed and shown.job is not None and DETAIL.job is not None
    assert not any(secret in text for secret in ("a" * 64, "b" * 64, "hunter2"))
    assert shown.job.environment == {"PASSWORD": ""}
    assert [(one.name, one.size_bytes, one.sha256) for one in shown.job.inputs] == [
        ("in", 3, SEALED_SHA256)
    ]
    assert [(one.name, one.size_bytes) for one in shown.outputs] == [("out", 4)]
    assert shown.job.command == DETAIL.job.command


def test_a_client_reads_a_sealed_job() -> None:
    text = msgspec.json.encode(sealed(DETAIL))

    assert msgspec.json.decode(text, type=JobDetail) == sealed(DETAIL)
