"""Submitting: one body or a stream, and the same bytes under the same key when it is repeated."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pilotage.central.client.errors import Invalid, KeyReused, Unreachable
from pilotage.proto.api.jobs import BlobAnswer, IdRange, Submitted
from pilotage.proto.documents.job import Job, Need

from .stub_central import StubCentral, lost, not_there, ok, problem

JOB = Job(command=("true",))
PATH = "POST /v1/submissions"


def central(count: int = 1) -> StubCentral:
    stub = StubCentral()
    submitted = Submitted(submission=7, count=count, ids=[IdRange(first=10, count=count)])
    stub.always[PATH] = ok(submitted)
    return stub


async def test_few_jobs_travel_as_one_object() -> None:
    stub = central(2)
    async with stub.client() as client:
        handle = await client.submit([JOB, {"command": ["false"]}], name="two")

    assert [one.headers["content-type"] for one in stub.got] == ["application/json"]
    body = stub.got[0].json()
    assert body["name"] == "two"
    assert [job["command"] for job in body["jobs"]] == [["true"], ["false"]]
    assert (handle.id, list(handle.ids())) == (7, [10, 11])


async def test_few_jobs_also_report_that_they_were_sent() -> None:
    stub, heard = central(2), list[int]()
    async with stub.client() as client:
        await client.submit([JOB] * 2, progress=heard.append)

    assert heard == [2]
    assert stub.got[0].headers["content-length"] == str(len(stub.got[0].body))


async def test_a_long_list_travels_as_lines_after_a_header() -> None:
    stub = central(5_000)
    heard: list[int] = []
    async with stub.client() as client:
        await client.submit([JOB] * 50_000, progress=heard.append)

    request = stub.got[0]
    assert request.headers["content-type"] == "application/x-ndjson"
    assert len(request.chunks) > 4
    header, *lines = request.body.splitlines()
    assert set(json.loads(header)) == {"key"}
    assert len(lines) == 50_000
    assert heard[-1] == 50_000
    assert heard == sorted(heard)


async def test_how_many_jobs_run_at_once_is_said_of_the_submission() -> None:
    stub = central(2)
    async with stub.client() as client:
        await client.submit([JOB] * 2, running_max=1)
        await client.submit(template=JOB, parameters=[{"n": 1}], running_max=2)
        await client.submit([JOB] * 50_000, running_max=3)

    whole, template, lines = stub.got
    assert (whole.json()["running_max"], template.json()["running_max"]) == (1, 2)
    assert json.loads(lines.body.splitlines()[0])["running_max"] == 3


async def test_a_template_and_its_parameters_travel_together() -> None:
    stub = central(3)
    async with stub.client() as client:
        await client.submit(template=JOB, parameters=[{"n": n} for n in range(3)], group="g")

    body = stub.got[0].json()
    assert body["template"] == {"command": ["true"], "group": "g"}
    assert body["parameters"] == [{"n": 0}, {"n": 1}, {"n": 2}]


@pytest.mark.parametrize(
    "first",
    [lost(), not_there(), problem(503, "unavailable", "starting")],
    ids=["lost", "refused", "503"],
)
async def test_a_submission_without_an_answer_is_repeated_under_its_key(first: object) -> None:
    stub = central()
    stub.next.extend([first, first])  # type: ignore[list-item]
    async with stub.client() as client:
        await client.submit(JOB)

    assert stub.lines() == [PATH] * 3
    assert len({one.body for one in stub.got}) == 1
    assert stub.got[0].json()["key"]


async def test_each_call_has_a_key_of_its_own() -> None:
    stub = central()
    async with stub.client() as client:
        await client.submit(JOB)
        await client.submit(JOB)

    assert len({one.json()["key"] for one in stub.got}) == 2


async def test_what_can_be_walked_only_once_is_repeated_with_the_same_bytes() -> None:
    def jobs() -> Iterator[Job]:
        for n in range(30_000):
            yield Job(command=("echo", str(n)))

    stub = central(30_000)
    stub.next.append(lost())
    async with stub.client() as client:
        await client.submit(jobs())

    first, second = stub.got
    assert first.body == second.body
    assert len(second.body.splitlines()) == 30_001


async def test_a_refused_submission_is_not_repeated() -> None:
    stub = central()
    stub.next.append(problem(422, "invalid", "expected an integer", "jobs[0].retries"))
    async with stub.client() as client:
        with pytest.raises(Invalid, match=r"jobs\[0\]\.retries: expected") as caught:
            await client.submit(JOB)

    assert caught.value.field == "jobs[0].retries"
    assert len(stub.got) == 1


#     what is written in a wrong shape, what is said
MISSHAPEN = [
    ({"command": "echo hi"}, "command: expected a list of words"),
    ({"command": ("a",), "needs": Need(cores_min=2)}, "needs: expected a list of needs"),
    ({"command": ("a",), "inputs": "a.txt"}, r"inputs: found 'a.txt', .*: inputs=\['a.txt'\]"),
    ({"command": ("a",), "inputs": Path("x")}, r"inputs: found .*: inputs=\['x'\]"),
    ({"command": ("a",), "outputs": "*.txt"}, r"outputs: found '\*.txt', .*: outputs=\['\*.txt'\]"),
    ({"command": "echo hi", "inputs": [__file__]}, "command: expected a list of words"),
]


@pytest.mark.parametrize(("fields", "said"), MISSHAPEN)
async def test_a_job_in_a_wrong_shape_is_not_sent(fields: dict[str, Any], said: str) -> None:
    stub = central()
    job = Job(**fields)
    async with stub.client() as client:
        with pytest.raises(TypeError, match=said):
            await client.submit(job)
        with pytest.raises(TypeError, match=said):
            await client.submit(template=job, parameters=[{"n": 1}])
        with pytest.raises(TypeError, match=said):
            await client.submit(iter([job]))

    assert stub.got == [] or all(one.method != "POST" for one in stub.got)


async def test_local_files_and_patterns_are_written_as_in_a_job_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    path = str(tmp_path / "a.txt")
    job = Job(command=("a",), inputs=[path], outputs=["*.txt"])  # type: ignore[arg-type]
    mapping = {"command": ["a"], "inputs": [tmp_path / "a.txt"], "outputs": ["*.txt"]}
    ways: list[dict[str, Any]] = [
        {"jobs": job},
        {"jobs": [mapping, job]},
        {"jobs": iter([job, mapping])},
        {"template": mapping, "parameters": [{"x": 1}]},
    ]
    for way in ways:
        stub = central()
        stub.always["POST /v1/blobs/missing"] = ok(BlobAnswer(missing=[]))
        async with stub.client() as client:
            await client.submit(**way)

        sent = [json.loads(line) for line in stub.got[-1].body.splitlines()]
        header, *lines = sent
        jobs = lines or header.get("jobs") or [header["template"]]
        assert jobs
        for one in jobs:
            assert one["outputs"] == [{"pattern": "*.txt"}]
            assert [(i["name"], i["size_bytes"]) for i in one["inputs"]] == [("a.txt", 5)]


async def test_a_wrong_command_of_explain_is_said() -> None:
    async with central().client() as client:
        with pytest.raises(TypeError, match="command: expected a list"):
            await client.explain(Job(command="echo"))  # type: ignore[arg-type]


#     the arguments of `submit`, what is said
NO_JOBS: list[tuple[dict[str, Any], type[Exception], str]] = [
    (
        {"jobs": "echo hi"},
        TypeError,
        r"jobs: found 'echo hi', expected a Job, such as Job\(command",
    ),
    ({"jobs": 7}, TypeError, "jobs: found 7, expected a Job"),
    ({"jobs": ["echo"]}, TypeError, "found 'echo', expected a Job"),
    ({"jobs": JOB, "parameters": [{}]}, ValueError, r"write submit\(template=job, parameters="),
    (
        {"jobs": JOB, "template": JOB, "parameters": [{}]},
        ValueError,
        "give either jobs, or a templ",
    ),
    ({"template": JOB}, ValueError, "template needs parameters="),
    ({}, ValueError, "there is nothing to submit: give jobs"),
    ({"template": JOB, "parameters": {"x": 1}}, TypeError, "parameters: found {'x': 1}, expected"),
    ({"template": JOB, "parameters": [1, 2]}, TypeError, "parameters: found 1, expected one dict"),
]


@pytest.mark.parametrize(("arguments", "kind", "said"), NO_JOBS)
async def test_what_cannot_be_submitted_hears_the_right_form(
    arguments: dict[str, Any], kind: type[Exception], said: str
) -> None:
    stub = central()
    async with stub.client() as client:
        with pytest.raises(kind, match=said):
            await client.submit(**arguments)

    assert stub.got == []


async def test_a_key_with_another_body_is_told_apart() -> None:
    stub = central()
    stub.next.append(problem(409, "key_reused", "the key belongs to submission 3"))
    async with stub.client() as client:
        with pytest.raises(KeyReused):
            await client.submit(JOB, key="k")


async def test_patience_ends() -> None:
    stub = central()
    stub.always[PATH] = not_there()
    async with stub.client(patience_s=3.0) as client:
        with pytest.raises(Unreachable, match="refused"):
            await client.submit(JOB)

    assert 3 < len(stub.got) < 10


async def test_a_group_is_for_jobs_that_name_none() -> None:
    stub = central(3)
    async with stub.client() as client:
        await client.submit(
            [JOB, Job(command=("a",), group="own"), {"command": ["b"]}], group="given"
        )

    assert [job["group"] for job in stub.got[0].json()["jobs"]] == ["given", "own", "given"]
