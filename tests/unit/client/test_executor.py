"""The executor against a central that runs calls at once, in this process."""

import collections
import concurrent.futures
import hashlib
import itertools
import pickle
import threading
from collections.abc import Callable, Generator, Iterator

import httpx
import msgspec
import pytest

from pilotage.central.client import CallFuture, Client, Executor
from pilotage.central.client.errors import CallFailed, Invalid, JobsHeld, Unreachable
from pilotage.central.client.executor import call_worker
from pilotage.proto.api.jobs import (
    ActionReply,
    Blob,
    BlobAnswer,
    IdRange,
    Outputs,
    OutputView,
    Peek,
    Submission,
    Submitted,
)
from pilotage.proto.api.outputs import JobOutputs, OutputsPage
from pilotage.proto.api.tokens import WhoAmI
from pilotage.proto.claims import Role
from pilotage.proto.documents.job import Job, Need
from pilotage.proto.job_states import FINAL, JobState

from .stub_central import Got, HandPace, Jobs, StubCentral, ok, problem, stream, view

DONE, WAITING = JobState.DONE, JobState.WAITING


class CallCentral(StubCentral):
    """A central whose jobs end with their submission, in the state that `ends` gives."""

    def __init__(self) -> None:
        super().__init__()
        self.blobs: dict[str, bytes] = {}
        self.results: dict[int, bytes] = {}
        self.jobs = Jobs(self)
        self.jobs.reasons = collections.defaultdict(str)
        self.submitted: list[Job] = []
        self.submissions: list[int] = []
        self.killed: list[int] = []
        self.ends: Callable[[int], JobState] = lambda job: DONE
        self.is_here = True
        self.always |= {
            "POST /v1/submissions": self._submit,
            "POST /v1/jobs/actions": self._kill,
            "GET /v1/events": problem(503, "unavailable", "no events here"),
            "GET /v1/jobs/outputs": self._outputs,
            "POST /v1/jobs/outputs": self._contents,
            "POST /v1/blobs/missing": self._missing,
        }

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not self.is_here:
            raise httpx.ConnectError("connection refused")
        path = request.url.path
        if request.method == "PUT":
            stub = StubCentral()
            stub.always[f"PUT {path}"] = self._put
            return await stub.handle_async_request(request)
        if path.endswith("/peek"):
            self.always[f"GET {path}"] = ok(Peek(job=1, stderr="no such python\n"))
        if path.endswith("/results.pickle"):
            self.always[f"GET {path}"] = stream(self.results[int(path.split("/")[3])])
        return await super().handle_async_request(request)

    def _missing(self, got: Got) -> httpx.Response:
        return ok(BlobAnswer(missing=[h for h in got.json()["sha256"] if h not in self.blobs]))(got)

    def _put(self, got: Got) -> httpx.Response:
        sha256 = hashlib.sha256(got.body).hexdigest()
        self.blobs[sha256] = got.body
        return ok(Blob(sha256=sha256, size_bytes=len(got.body)))(got)

    def _submit(self, got: Got) -> httpx.Response:
        body = msgspec.json.decode(got.body, type=Submission)
        jobs = [msgspec.json.decode(one, type=Job) for one in body.jobs]
        first = len(self.submitted) + 1
        self.submitted += jobs
        self.submissions.append(len(jobs))
        for id, job in enumerate(jobs, first):
            self.jobs.states[id] = self.ends(id)
            if self.jobs.states[id] is DONE:
                self._run(id, job)
        ids = [IdRange(first=first, count=len(jobs))]
        return ok(Submitted(submission=1, count=len(jobs), ids=ids))(got)

    def _run(self, id: int, job: Job) -> None:
        hashes = {one.name: one.sha256 for one in job.inputs}
        function, calls = pickle.loads(self.blobs[hashes["calls.pickle"]])[int(job.command[2])]
        call = pickle.loads(function)
        results = [call_worker._result(call, *one) for one in pickle.loads(calls)]
        took = call_worker.SECONDS.pack(0.01 * len(results))
        self.results[id] = took + pickle.dumps(results)

    def _outputs(self, got: Got) -> httpx.Response:
        ids = sorted(int(one) for one in got.query.get_list("id"))
        found = [
            JobOutputs(view=view(id, self.jobs.states[id]), outputs=self._kept(id)) for id in ids
        ]
        return ok(OutputsPage(jobs=found))(got)

    def _kept(self, id: int) -> list[OutputView]:
        content = self.results.get(id)
        if content is None:
            return []
        sha256 = hashlib.sha256(content).hexdigest()
        name = "results.pickle"
        return [OutputView(name=name, size_bytes=len(content), sha256=sha256, epoch=1)]

    def _contents(self, got: Got) -> httpx.Response:
        files = [self.results[one["job"]] for one in got.json()["files"]]
        return stream(*(b"%d\n%b" % (len(one), one) for one in files))(got)

    def _kill(self, got: Got) -> httpx.Response:
        self.killed += got.json()["ids"]
        return ok(ActionReply(done=1, unchanged=0))(got)


@pytest.fixture
def central() -> CallCentral:
    return CallCentral()


@pytest.fixture
def client(central: CallCentral) -> Generator[Client]:
    with Client("http://central.test", "t", http=central, pace=HandPace()) as client:
        yield client


def square(x: int) -> int:
    return x * x


def test_calls_in_quick_succession_share_a_submission(central: CallCentral, client: Client) -> None:
    with Executor(client=client, name="squares") as executor:
        futures = [executor.submit(square, x) for x in range(500)]
        assert [future.result(60) for future in futures] == [x * x for x in range(500)]

    assert sum(central.submissions) == 500
    assert len(central.submissions) < 50
    assert sorted(future.job for future in futures) == list(range(1, 501))
    assert {one.name for one in central.submitted} == {"square"}


def test_needs_and_other_fields_are_those_of_the_jobs(central: CallCentral, client: Client) -> None:
    need = Need(memory_mb=500)
    with Executor(
        client=client, needs=need, python="py", modules=["numpy"], group="astro", retries=2
    ) as executor:
        assert executor.submit(pow, 2, exp=3).result(60) == 8

    (job,) = central.submitted
    assert job.command == ("py", "calls.pyz", "0", "numpy")
    assert (job.needs, job.group, job.retries) == ((need,), "astro", 2)


def test_results_and_exceptions_come_through_the_usual_functions(client: Client) -> None:
    with Executor(client=client) as executor:
        futures = {executor.submit(int, text): text for text in ("1", "x", "3")}
        ended = list(concurrent.futures.as_completed(futures, timeout=60))
        called = threading.Event()
        ended[0].add_done_callback(lambda _: called.set())

    assert called.is_set()
    failed = next(one for one in futures if futures[one] == "x")
    with pytest.raises(ValueError, match="invalid literal") as caught:
        failed.result()
    assert "Traceback" in str(caught.value.__cause__)
    assert not failed.running()


def test_a_cancelled_call_kills_its_job(central: CallCentral, client: Client) -> None:
    central.ends = lambda job: JobState.RUNNING
    with Executor(client=client) as executor:
        future = executor.submit(square, 1)
        while not future.running():
            pass
        assert future.cancel()
        assert future.cancel()
        concurrent.futures.wait([future], timeout=60)

    assert future.cancelled()
    assert central.killed == [1]


def test_a_call_that_is_cancelled_at_once_is_not_sent(central: CallCentral, client: Client) -> None:
    with Executor(client=client) as executor:
        futures = [executor.submit(square, x) for x in range(20)]
        cancelled = [future.cancel() for future in futures]

    sent = set(range(1, len(central.submitted) + 1))
    assert all(cancelled)
    assert set(central.killed) == sent


#     how the job ends, the exception, its text
ENDS: list[tuple[JobState, type[Exception], str]] = [
    (JobState.FAILED, CallFailed, "job 1: Failed: exit code 127\nno such python"),
    (JobState.KILLED, CallFailed, "job 1: Killed: exit code 127"),
    (JobState.HELD, JobsHeld, "job 1 is Held: exit code 127"),
]


@pytest.mark.parametrize(("state", "kind", "said"), ENDS)
def test_a_job_without_results_gives_its_reason(
    state: JobState, kind: type[Exception], said: str, central: CallCentral, client: Client
) -> None:
    central.ends = lambda job: state
    central.jobs.reasons[1] = "exit code 127"
    with Executor(client=client) as executor:
        future = executor.submit(square, 1)
        with pytest.raises(kind) as caught:
            future.result(60)

    assert said in str(caught.value)


def test_a_central_that_ends_fails_the_calls_after_the_patience(
    central: CallCentral, client: Client
) -> None:
    central.ends = lambda job: WAITING
    with Executor(client=client) as executor:
        future = executor.submit(square, 1)
        while not future.job:
            pass
        central.is_here = False
        with pytest.raises(CallFailed, match=r"no answer .* client.job\(1\).result\(\)") as caught:
            future.result(60)
        assert isinstance(caught.value.__cause__, Unreachable)
        with pytest.raises(Unreachable):
            executor.submit(square, 2).result(60)
        central.is_here, central.ends = True, lambda job: DONE

        assert executor.submit(square, 3).result(60) == 9


def test_what_the_central_refuses_is_the_exception_of_the_call(
    central: CallCentral, client: Client
) -> None:
    central.always["POST /v1/submissions"] = problem(
        422, "invalid", "no such group", "jobs[0].group"
    )
    with Executor(client=client, group="x") as executor:
        with pytest.raises(Invalid, match="no such group"):
            executor.submit(square, 1).result(60)
        with pytest.raises(Invalid, match="no such group"):
            list(executor.map(square, [1, 2]))


def test_a_map_gives_all_results_in_order(central: CallCentral, client: Client) -> None:
    with Executor(client=client) as executor:
        assert list(executor.map(square, range(20_000))) == [x * x for x in range(20_000)]
        assert list(executor.map(pow, [2, 3], [5, 2, 9])) == [32, 9]
        assert list(executor.map(square, [])) == []
        assert list(executor.map(square, [1, 2, 3], chunksize=3)) == [1, 4, 9]

    assert len(central.submitted) < 400


def test_results_of_a_map_can_be_read_after_the_executor(client: Client) -> None:
    with Executor(client=client) as executor:
        results = executor.map(square, range(5_000))

    assert list(results) == [x * x for x in range(5_000)]


def test_a_map_takes_endless_arguments_and_ends_with_its_reader(
    central: CallCentral, client: Client
) -> None:
    taken = 0

    def arguments() -> Iterator[int]:
        nonlocal taken
        for number in itertools.count():
            taken = number
            yield number

    central.ends = lambda job: DONE if job <= 40 else WAITING
    with Executor(client=client, chunk=2) as executor:
        results = executor.map(square, arguments())
        assert list(itertools.islice(results, 50)) == [x * x for x in range(50)]
        results.close()  # type: ignore[attr-defined]

    open_jobs = {id for id, state in central.jobs.states.items() if state not in FINAL}
    assert open_jobs
    assert open_jobs == set(central.killed)
    assert taken < 1_000


def test_the_first_exception_of_a_map_ends_it(central: CallCentral, client: Client) -> None:
    with Executor(client=client, chunk=3) as executor:
        results = executor.map(lambda x: 6 // x, [3, 2, 1, 0, 6])
        assert [next(results), next(results), next(results)] == [2, 3, 6]
        with pytest.raises(ZeroDivisionError):
            next(results)


def test_an_error_of_the_arguments_comes_after_the_results(client: Client) -> None:
    def arguments() -> Iterator[int]:
        yield from (1, 2)
        raise OSError("the file is gone")

    with Executor(client=client) as executor:
        results = executor.map(square, arguments())
        assert [next(results), next(results)] == [1, 4]
        with pytest.raises(OSError, match="the file is gone"):
            next(results)


def test_a_map_has_a_timeout(central: CallCentral, client: Client) -> None:
    central.ends = lambda job: WAITING
    with Executor(client=client) as executor, pytest.raises(TimeoutError):
        list(executor.map(square, [1], timeout=0.1))


def test_after_the_shutdown_no_call_is_taken(client: Client) -> None:
    executor = Executor(client=client)
    future = executor.submit(square, 2)
    executor.shutdown()
    executor.shutdown()

    assert future.done() and future.result() == 4
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(square, 3)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.map(square, [3])


def test_a_shutdown_can_kill_what_is_left(central: CallCentral, client: Client) -> None:
    central.ends = lambda job: WAITING
    executor = Executor(client=client)
    futures: list[CallFuture[int]] = [executor.submit(square, x) for x in range(3)]
    while not all(future.job for future in futures):
        pass
    executor.shutdown(cancel_futures=True)

    assert all(future.cancelled() for future in futures)
    assert sorted(central.killed) == [1, 2, 3]


def test_a_result_is_read_later_but_only_of_an_own_job(
    central: CallCentral, client: Client
) -> None:
    with Executor(client=client) as executor:
        executor.submit(square, 3).result(60)
        list(executor.map(square, [1, 2], chunksize=2))
    for id in (1, 2):
        central.always[f"GET /v1/jobs/{id}"] = central.jobs.detail
    central.jobs.epochs = collections.defaultdict(int)
    for id in (1, 2):
        central.always[f"GET /v1/jobs/{id}/outputs"] = ok(
            Outputs(job=id, outputs=central._kept(id))
        )
    central.always["GET /v1/whoami"] = ok(whoami("o"))
    assert client.job(1).result() == 9
    assert client.job(2).result() == [1, 4]

    central.always["GET /v1/whoami"] = ok(whoami("somebody"))
    with pytest.raises(CallFailed, match="job 1: it belongs to o, and only your own"):
        client.job(1).result()


def whoami(subject: str) -> WhoAmI:
    return WhoAmI(
        subject=subject,
        issuer="",
        name="",
        community="c",
        groups=(),
        role=Role.USER,
        expires_in_s=1.0,
    )


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 100])
def test_a_broken_file_of_results_does_not_hang(
    content: bytes, central: CallCentral, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(id: int, _: Job) -> None:
        central.results[id] = content

    monkeypatch.setattr(central, "_run", broken)
    with Executor(client=client) as executor:
        with pytest.raises(Exception, match=r"unpack|pickle|Ran out|load key"):
            list(executor.map(square, [1]))
        assert executor.submit(square, 1).exception(60) is not None


#     the arguments of the executor, what is said
WRONG: list[tuple[dict[str, object], type[Exception], str]] = [
    ({"chunk": 0}, ValueError, "chunk: found 0"),
    ({"outputs": ["x"]}, TypeError, "outputs: the executor sets it"),
    ({"memory": 4}, TypeError, "memory"),
]


@pytest.mark.parametrize(("arguments", "kind", "said"), WRONG)
def test_wrong_arguments_are_refused(
    arguments: dict[str, object], kind: type[Exception], said: str, client: Client
) -> None:
    with pytest.raises(kind, match=said):
        Executor(client=client, **arguments)  # type: ignore[arg-type]
