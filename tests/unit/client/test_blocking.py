"""The blocking front is the async core, generated."""

import inspect
import threading

import pytest

from pilotage.central.client import AsyncClient, AsyncJobHandle, Client, JobHandle, as_completed
from pilotage.central.client.errors import NotFound
from pilotage.central.client.loop_thread import LoopThread
from pilotage.proto.api.jobs import IdRange, Submitted
from pilotage.proto.documents.job import Job
from pilotage.proto.job_states import JobState
from tests.docs.blocking_client import TARGET, generate

from .stub_central import HandPace, Jobs, StubCentral, moved, ok, stream


def blocking(stub: StubCentral) -> Client:
    return Client("http://central.test", "t", http=stub, pace=HandPace())


def test_the_file_is_what_the_generator_writes() -> None:
    assert TARGET.read_text() == generate(), "central/client/blocking.py is old: make docs"


@pytest.mark.parametrize(("core", "front"), [(AsyncClient, Client), (AsyncJobHandle, JobHandle)])
def test_both_have_the_same_methods_with_the_same_parameters(core: type, front: type) -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        found = inspect.getmembers(kind, inspect.isfunction)
        return {
            name: list(inspect.signature(method).parameters)
            for name, method in found
            if not name.startswith("_") and name not in ("signs", "ended", "wait_for")
        }

    assert methods(core) == methods(front)


def test_jobs_are_submitted_waited_for_and_read() -> None:
    stub = StubCentral()
    jobs = Jobs(stub, 1, 2)
    ranges = [IdRange(first=1, count=2)]
    stub.always["POST /v1/submissions"] = ok(Submitted(submission=1, count=2, ids=ranges))
    stub.always["GET /v1/events"] = stream(moved(1, 2, JobState.DONE), moved(2, 1, JobState.DONE))
    with blocking(stub) as client:
        handle = client.submit([Job(command=("true",))] * 2)
        ended = [job.id for job in as_completed(handle.handles())]
        jobs.states.update({1: JobState.DONE, 2: JobState.DONE})
        counts = handle.wait()
        ids = [view.id for view in client.search()]

    assert ended == [2, 1]
    assert counts == {JobState.DONE: 2}
    assert ids == [1, 2]


def test_errors_arrive_where_the_call_was_made() -> None:
    with blocking(StubCentral()) as client, pytest.raises(NotFound):
        client.job(1).wait()


def test_a_walk_may_be_left_early_and_is_bounded_meanwhile() -> None:
    stub = StubCentral()
    Jobs(stub, *range(1, 10_001))
    with blocking(stub) as client:
        for view in client.search():
            if view.id == 3:
                break
        asked = len(stub.got)

    assert asked <= 3  # of ten pages: nobody took what was there


def test_closing_ends_the_thread() -> None:
    before = threading.active_count()
    with blocking(StubCentral()) as client, pytest.raises(NotFound):
        client.whoami()

    assert threading.active_count() == before


def test_an_interrupt_ends_what_runs() -> None:
    loop = LoopThread()
    ended = threading.Event()

    async def forever() -> None:
        import asyncio

        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    def interrupt() -> None:
        loop.close()

    timer = threading.Timer(0.05, interrupt)
    timer.start()
    with pytest.raises(BaseException):  # noqa: B017
        loop.run(forever())

    assert ended.wait(2)
    timer.join()


def test_what_is_submitted_may_be_asked_of_the_same_client() -> None:
    stub = StubCentral()
    Jobs(stub, 1, 2, 3)
    ranges = [IdRange(first=4, count=3)]
    stub.always["POST /v1/submissions"] = ok(Submitted(submission=1, count=3, ids=ranges))
    with blocking(stub) as client:
        again = client.submit(Job(command=("redo", str(view.id))) for view in client.search())

    assert again.count == 3
    assert len(stub.got[-1].body.splitlines()) == 4


def test_a_call_from_its_own_thread_is_refused_instead_of_waiting_for_ever() -> None:
    stub = StubCentral()
    ranges = [IdRange(first=1, count=1)]
    stub.always["POST /v1/submissions"] = ok(Submitted(submission=1, count=1, ids=ranges))
    with blocking(stub) as client:

        def progress(_: int) -> None:
            client.health()

        with pytest.raises(RuntimeError, match="a callback of a blocking client"):
            client.submit(iter([Job(command=("true",))]), progress=progress)
