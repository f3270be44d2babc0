"""A user runs Python functions as jobs."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from pilotage.central.client import AsyncClient, Executor
from pilotage.central.client.errors import CallFailed
from pilotage.proto.api.jobs import JobFilter
from pilotage.proto.documents.job import Job
from pilotage.proto.job_states import JobState

from ..faces.conftest import Site
from ..running import eventually

DIES = """
import os, signal, sys
from pilotage import Executor

def cube(x):
    return x ** 3

executor = Executor(python=sys.executable, name="dies")
futures = [executor.submit(cube, x) for x in (2, 3)]
while not all(future.job for future in futures):
    pass
os.kill(os.getpid(), signal.SIGKILL)
"""


def square(x: int) -> int:
    return x * x


@pytest.fixture
def executor(site: Site) -> Generator[Executor]:
    with Executor(client=site.client, python=sys.executable) as executor:
        yield executor


def test_many_short_calls_run_in_few_jobs(site: Site, executor: Executor) -> None:
    before = sum(1 for _ in site.client.search())
    assert list(executor.map(square, range(20_000))) == [x * x for x in range(20_000)]

    assert sum(1 for _ in site.client.search()) - before < 80


def test_calls_return_raise_and_are_killed(site: Site, executor: Executor) -> None:
    long = executor.submit(time.sleep, 3_600)
    failed = executor.submit(lambda x: 1 // x, 0)
    with pytest.raises(ZeroDivisionError) as caught:
        failed.result(60)
    assert "in <lambda>" in str(caught.value.__cause__)
    eventually(long.running)
    assert long.cancel()

    killed = site.client.job(eventually(lambda: long.job)).wait(60, through_held=True)
    assert killed.state is JobState.KILLED
    with pytest.raises(CallFailed, match="Killed: cancelled by its Executor"):
        site.client.job(killed.id).result()


def test_another_python_and_a_missing_module_are_named(site: Site) -> None:
    with Executor(client=site.client, python=sys.executable, modules=["nothing"]) as executor:
        future = executor.submit(square, 1)
        with pytest.raises(CallFailed, match="has no module nothing"):
            future.result(60)


def test_calls_outlive_the_program_that_made_them(site: Site, tmp_path: Path) -> None:
    environment = {"PILOTAGE_DATA": str(site.data), "HOME": str(tmp_path)}
    subprocess.run(
        [sys.executable, "-c", DIES],
        env=environment,
        cwd=Path(__file__).parents[3],
        timeout=60,
        check=False,
    )
    jobs = list(site.client.search(JobFilter(submission_name="dies")))

    assert [site.client.job(one.id).result(60) for one in jobs] == [8, 27]


def test_handles_can_be_awaited_and_jobs_are_a_table(site: Site, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello\n")
    job = Job(command=("cp", "a.txt", "b.out"), inputs=[tmp_path / "a.txt"], outputs=["*.out"])  # type: ignore[arg-type]

    async def main() -> None:
        async with AsyncClient(data=site.data) as client:
            submission = await client.submit(job)
            assert await submission == {JobState.DONE: 1}
            (handle,) = submission.handles()
            assert (await handle).state is JobState.DONE
            blocking = site.client.job(handle.id)
            assert (await blocking).state is JobState.DONE
            assert (await handle.download("b.out", tmp_path)).read_text() == "hello\n"
            table = await submission.table()
            columns = table.columns()
            assert columns["state"] == ["Done"]
            assert columns["run_s"][0] >= 0
            assert "<td>Done</td>" in table._repr_html_()

    asyncio.run(main())
