"""Stories told through the Python API, against a real central and a real pilot."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pilotage import AsyncClient, Job, Need, OutputPattern
from pilotage.central.client import as_completed, errors
from pilotage.proto.api.jobs import JobFilter
from pilotage.proto.job_states import JobState

from .conftest import SITE, Site


def test_jobs_are_submitted_waited_for_and_fetched(site: Site, tmp_path: Path) -> None:
    source = tmp_path / "numbers.txt"
    source.write_text("1\n2\n3\n")
    job = Job(
        command=("sh", "-c", "wc -l < numbers.txt | tee count.txt"),
        inputs=tuple(site.client.upload([source])),
        outputs=(OutputPattern(pattern="count.txt"),),
        needs=(Need(sites=(SITE,), memory_mb=100),),
    )
    handle = site.client.submit(job, name="count").handles()[0]
    view = handle.wait(60)

    assert (view.state, view.exit_code, view.site) == (JobState.DONE, 0, SITE)
    assert b"".join(handle.log()).strip() == b"3"
    assert handle.download("count.txt", tmp_path).read_text().strip() == "3"
    assert [one.event for one in handle.history().occurrences]


def test_jobs_come_back_in_the_order_in_which_they_end(site: Site) -> None:
    naps = [Job(command=("sleep", "1.5")), Job(command=("true",))]
    slow, quick = site.client.submit(naps).handles()

    assert [one.id for one in as_completed([slow, quick], 60)] == [quick.id, slow.id]


def test_each_of_2000_jobs_that_end_in_any_order_comes_once(site: Site) -> None:
    nowhere = Job(command=("true",), needs=(Need(cores_min=99),))
    submitted = site.client.submit(nowhere for _ in range(2_000))
    ids = list(submitted.ids())
    random.Random(2_000).shuffle(ids)

    def end_them(parts: Iterator[list[int]]) -> int:
        return sum(site.client.kill(part).done for part in parts)

    with ThreadPoolExecutor(1) as others:
        killed = others.submit(end_them, (ids[at : at + 90] for at in range(0, 2_000, 90)))
        came = [one.id for one in as_completed(submitted.handles(), 60)]

    assert killed.result() == 2_000
    assert sorted(came) == list(submitted.ids())


def test_a_stream_of_jobs_is_one_submission(site: Site) -> None:
    heard: list[int] = []
    handle = site.client.submit(
        (
            Job(command=("echo", str(n)), type="Stream", needs=(Need(cores_min=99),))
            for n in range(5_000)
        ),
        progress=heard.append,
    )

    assert (handle.count, heard[-1]) == (5_000, 5_000)
    assert handle.states() == {JobState.WAITING: 5_000}
    assert site.client.kill(filter=JobFilter(submission=handle.id)).done == 5_000
    assert handle.wait(60) == {JobState.KILLED: 5_000}


def test_wrong_things_are_refused_by_name(site: Site) -> None:
    with pytest.raises(errors.Invalid, match="comand"):
        site.client.submit({"comand": ["true"]})
    with pytest.raises(errors.NotFound):
        site.client.detail(10**9)
    with pytest.raises(errors.CountChanged):
        site.client.kill(filter=JobFilter(owner="admin", name="nobody"), expected=5)


async def test_the_async_client_says_the_same(site: Site) -> None:
    async with AsyncClient(data=site.data) as client:
        handle = await client.submit(
            template=Job(command=("sh", "-c", "exit {code}")),
            parameters=[{"code": code} for code in (0, 1)],
        )
        states = await handle.wait(60)
        kinds = {event.kind async for event in handle.handles()[0].events()}

    assert states == {JobState.DONE: 1, JobState.FAILED: 1}
    assert kinds == set()  # it had ended before anybody listened


async def test_events_tell_the_life_of_a_job(site: Site) -> None:
    async with AsyncClient(data=site.data) as client:
        job = (await client.submit(Job(command=("sleep", "0.3")))).handles()[0]
        states = [event.state async for event in job.events()]

    assert states[-1] is JobState.DONE
