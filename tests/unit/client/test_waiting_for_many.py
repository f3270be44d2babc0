"""Waiting for many jobs at a central that answers in pages of any size, late, or with an error."""

import random
from collections import Counter
from collections.abc import Iterator

import httpx
import msgspec
import pytest

from pilotage.central.client.blocking import Client, as_completed
from pilotage.central.client.errors import NotFound, TimedOut
from pilotage.central.client.handles import (
    AsyncJobHandle,
    AsyncSubmissionHandle,
    as_completed_async as ended_of,
)
from pilotage.proto.api.jobs import Event, IdRange, Submitted
from pilotage.proto.job_states import FINAL, JobState

from .stub_central import (
    Got,
    Jobs,
    Streaming,
    StubCentral,
    event_line,
    lost,
    moved,
    not_there,
    problem,
    stream,
    view,
)

MANY = 2_000
ENDS = (JobState.DONE, JobState.FAILED, JobState.KILLED)
HERE = b": here\n\n"


class RestlessJobs(Jobs):
    """Jobs that end in a random order while they are read, at a central that is often in trouble.

    A page holds as many jobs as the central likes. Some jobs end between the moment when the
    central chooses the rows of a page and the moment when it reads them. Some are deleted, and
    some of these are gone for good.
    """

    def __init__(self, central: StubCentral, seed: int, count: int = MANY) -> None:
        super().__init__(central, *range(1, count + 1))
        self.chance = random.Random(seed)
        self._running = list(self.states)
        self.chance.shuffle(self._running)
        self._deleted: set[int] = set()
        self._seq = 0
        self._step = self.chance.choice((70, 300, count))
        self._page = self.chance.choice((90, 199, 200, 201, 1_000))
        self.trouble = self.chance.choice((0.0, 0.1, 0.3))
        central.always["GET /v1/jobs"] = self.any_page
        central.always["GET /v1/events"] = self.any_stream
        central.pace.on_sleep = self._end_some

    def _end_some(self) -> None:
        self._end(self._step)

    def _end(self, most: int) -> list[int]:
        ended = [self._running.pop() for _ in range(min(most, len(self._running)))]
        for job in ended:
            self.states[job] = self.chance.choice(ENDS)
            if self.chance.random() < 0.05:
                self._deleted.add(job)
        return ended

    def any_page(self, got: Got) -> httpx.Response:
        if self.chance.random() < self.trouble:
            raise self.chance.choice((lost(), not_there()))
        if self.chance.random() < self.trouble:
            return problem(503, "unavailable", "the central starts")(got)
        asked = {int(one) for one in got.query.get_list("id")}
        states = {JobState(one) for one in got.query.get_list("state")} or set(JobState)
        after, most = int(got.query.get("after", "0")), int(got.query["limit"])
        shows_deleted = got.query.get("include_deleted") == "true"
        chosen = [
            job
            for job, state in sorted(self.states.items())
            if (not asked or job in asked)
            and (state in states)
            and (job > after)
            and (shows_deleted or job not in self._deleted)
        ]
        page = chosen[: min(most, self._page)]
        self._end(self.chance.randrange(self._step + 1))  # the rows are read after these ends
        body = {
            "jobs": [view(job, self.states[job]) for job in page],
            "after": page[-1] if len(chosen) > len(page) else None,
        }
        return httpx.Response(200, content=msgspec.json.encode(body))

    def any_stream(self, got: Got) -> httpx.Response:
        if self.chance.random() < self.trouble:
            raise not_there()
        return httpx.Response(200, stream=Streaming(self._events()))

    def _events(self) -> Iterator[bytes | Exception]:
        yield HERE
        while self._running:
            for job in self._end(self._step):
                self._seq += 1
                if self.chance.random() < 0.9:  # the others are lost
                    yield moved(self._seq, job, self.states[job])
            if self.chance.random() < 0.2:
                yield event_line(Event(seq=self._seq, at="", kind="gap"))
            if self.chance.random() < 0.2:
                yield self.chance.choice((lost(), HERE))
        yield HERE


def submission_of(stub: StubCentral, count: int = MANY) -> AsyncSubmissionHandle:
    ids = [IdRange(first=1, count=count)]
    return AsyncSubmissionHandle(stub.client(), Submitted(submission=1, count=count, ids=ids))


@pytest.mark.parametrize("seed", range(9))
async def test_each_of_2000_handles_comes_exactly_once(seed: int) -> None:
    stub = StubCentral()
    jobs = RestlessJobs(stub, seed)
    handles = submission_of(stub).handles()
    if seed % 3 == 1:  # as for jobs of several submissions: there is no common one to read
        handles = [AsyncJobHandle(one.client, one.id) for one in handles]
    if seed % 3 == 2:
        handles += handles[::2]  # given twice
    jobs.chance.shuffle(handles)

    came = Counter([handle.id async for handle in ended_of(handles)])

    assert came == Counter(range(1, MANY + 1))


@pytest.mark.parametrize("seed", range(2))
async def test_progress_counts_each_of_2000_jobs(seed: int) -> None:
    stub = StubCentral()
    jobs = RestlessJobs(stub, seed)
    jobs.trouble = 0.0  # `wait` also reads the states at the end
    heard: list[int] = []

    await submission_of(stub).wait(progress=heard.append)

    assert heard == list(range(1, MANY + 1))


@pytest.mark.parametrize("seed", range(2))
def test_the_blocking_client_yields_each_of_2000_handles_once(seed: int) -> None:
    stub = StubCentral()
    RestlessJobs(stub, seed)
    with Client("http://central.test", "t", http=stub, pace=stub.pace) as client:
        submitted = [client.job(id) for id in range(1, MANY + 1)]
        for handle in submitted:
            handle.core.submission = 1

        came = Counter(handle.id for handle in as_completed(submitted))

    assert came == Counter(range(1, MANY + 1))


async def test_ended_jobs_are_yielded_before_the_error_of_a_reading() -> None:
    """The second part of the reading fails; the first part has found 200 ends."""
    stub = StubCentral()
    jobs = Jobs(stub, *range(1, 301))
    jobs.states.update(dict.fromkeys(jobs.states, JobState.DONE))
    stub.always["GET /v1/events"] = not_there()

    def only_the_first_part(got: Got) -> httpx.Response:
        if "1" not in got.query.get_list("id"):
            return problem(403, "forbidden", "not for this token")(got)
        return jobs.page(got)

    stub.always["GET /v1/jobs"] = only_the_first_part
    handles = [AsyncJobHandle(stub.client(patience_s=1.0), id) for id in jobs.states]
    came: list[int] = []

    with pytest.raises(Exception, match="not for this token"):
        async for handle in ended_of(handles):
            came.append(handle.id)
    assert came == list(range(1, 201))


async def test_a_job_that_is_gone_after_it_was_seen_has_ended() -> None:
    stub = StubCentral()
    jobs = Jobs(stub, 1, 2)
    stub.always["GET /v1/events"] = not_there()

    def remove_the_second() -> None:
        jobs.states.pop(2, None)
        if len(stub.pace.slept) == 3:
            jobs.states[1] = JobState.DONE

    stub.pace.on_sleep = remove_the_second
    handles = [AsyncJobHandle(stub.client(), id) for id in (1, 2)]

    assert [handle.id async for handle in ended_of(handles)] == [2, 1]


async def test_jobs_of_a_submission_that_the_central_does_not_know_have_not_ended() -> None:
    stub = StubCentral()
    jobs = Jobs(stub, *range(1, 301))
    jobs.states.clear()
    stub.always["GET /v1/events"] = stream(HERE)

    with pytest.raises(NotFound, match="there is no job 1 "):
        await submission_of(stub, 300).wait()


async def test_a_timeout_says_how_many_handles_did_not_come() -> None:
    stub = StubCentral()
    jobs = Jobs(stub, *range(1, 501))
    jobs.states.update(dict.fromkeys(range(1, 301), JobState.DONE))
    stub.always["GET /v1/events"] = stream(HERE)
    came: list[int] = []

    with pytest.raises(TimedOut, match="200 not finished"):
        async for handle in ended_of(submission_of(stub, 500).handles(), 0.3):
            came.append(handle.id)
    assert sorted(came) == list(range(1, 301))
    assert all(jobs.states[job] in FINAL for job in came)
