"""Waiting: by events, and by reading where events are missing."""

import httpx
import pytest

from pilotage.central.client.errors import JobsHeld, NotFound, TimedOut
from pilotage.central.client.handles import AsyncSubmissionHandle, as_completed_async
from pilotage.central.client.waiting.outstanding_jobs import Outstanding
from pilotage.proto.api.jobs import Event, IdRange, Submitted
from pilotage.proto.job_states import JobState

from .stub_central import Got, Jobs, StubCentral, event_line, lost, moved, not_there, stream

HERE = b": here\n\n"
DONE, FAILED, HELD = JobState.DONE, JobState.FAILED, JobState.HELD


def submission(stub: StubCentral, *ids: int) -> AsyncSubmissionHandle:
    ranges = [IdRange(first=id, count=1) for id in ids]
    submitted = Submitted(submission=1, count=len(ids), ids=ranges)
    return AsyncSubmissionHandle(stub.client(), submitted)


async def test_a_job_that_has_ended_already_is_not_waited_for() -> None:
    stub = StubCentral()
    Jobs(stub, 5).states[5] = DONE

    assert (await stub.client().job(5).wait()).state is DONE
    assert stub.lines() == ["GET /v1/jobs/5"]


async def test_events_end_the_waiting() -> None:
    stub = StubCentral()
    jobs = Jobs(stub, 1, 2)
    stub.always["GET /v1/events"] = stream(
        HERE, moved(1, 1, JobState.RUNNING), moved(2, 1, DONE), moved(3, 2, FAILED)
    )
    ended = [handle.id async for handle in as_completed_async(submission(stub, 1, 2).handles())]

    assert ended == [1, 2]
    assert stub.lines() == ["GET /v1/events", "GET /v1/jobs"]
    assert jobs.states[1] is JobState.WAITING  # nobody looked at it


async def test_the_end_of_a_job_that_came_before_the_events_is_read() -> None:
    stub = StubCentral()
    jobs = Jobs(stub, 1, 2)
    jobs.states.update({1: DONE, 2: DONE})
    stub.always["GET /v1/events"] = stream(HERE)

    assert await submission(stub, 1, 2).wait() == {DONE: 2}


async def test_a_gap_makes_it_read_again() -> None:
    stub = StubCentral()
    jobs = Jobs(stub, 1)
    gap = event_line(Event(seq=9, at="", kind="gap"))
    stub.always["GET /v1/events"] = stream(HERE, HERE, HERE, gap, lost())
    page = jobs.page

    def ended_at_the_second_reading(got: Got) -> httpx.Response:
        if stub.lines().count("GET /v1/jobs") == 2:
            jobs.states[1] = DONE
        return page(got)

    stub.always["GET /v1/jobs"] = ended_at_the_second_reading
    await submission(stub, 1).wait()

    assert stub.lines()[:3] == ["GET /v1/events", "GET /v1/jobs", "GET /v1/jobs"]


async def test_without_events_it_reads_at_growing_intervals() -> None:
    stub = StubCentral()
    jobs = Jobs(stub, 1)
    stub.always["GET /v1/events"] = not_there()

    def finish_at_the_sixth_pause() -> None:
        if len(stub.pace.slept) == 6:
            jobs.states[1] = DONE

    stub.pace.on_sleep = finish_at_the_sixth_pause
    await stub.client().job(1).wait()

    assert stub.pace.slept == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0]


async def test_a_broken_stream_is_taken_up_after_the_last_event() -> None:
    stub = StubCentral()
    Jobs(stub, 1)
    answers = [stream(HERE, moved(41, 7, DONE), lost()), stream(HERE, moved(42, 1, DONE))]
    stub.always["GET /v1/events"] = lambda got: answers.pop(0)(got)
    ended = [handle.id async for handle in as_completed_async(submission(stub, 1).handles())]

    assert ended == [1]
    asked = [one.query.get("after") for one in stub.got if one.path == "/v1/events"]
    assert asked == [None, "41"]


async def test_a_large_submission_is_read_by_its_unfinished_jobs() -> None:
    stub = StubCentral()
    ids = range(1, 1_001)
    jobs = Jobs(stub, *ids)
    jobs.states.update(dict.fromkeys(ids, DONE))
    stub.always["GET /v1/events"] = stream(HERE)
    heard: list[int] = []
    await submission(stub, *ids).wait(progress=heard.append)

    reading = next(one for one in stub.got if one.path == "/v1/jobs")
    assert "Waiting" in reading.query.get_list("state")
    assert "Done" not in reading.query.get_list("state")
    assert heard[-1] == 1_000


async def test_waiting_for_a_job_that_is_not_there_ends() -> None:
    stub = StubCentral()
    Jobs(stub, 1)
    stub.always["GET /v1/events"] = stream(HERE)

    with pytest.raises(NotFound, match="no job 2"):
        await submission(stub, 1, 2).wait()


async def test_time_that_is_over_says_how_many_are_left() -> None:
    stub = StubCentral()
    Jobs(stub, 1, 2)
    stub.always["GET /v1/events"] = stream(HERE, moved(1, 1, DONE))

    with pytest.raises(TimedOut, match="1 not finished after 0.05 s"):
        await submission(stub, 1, 2).wait(0.05)


async def test_a_job_that_becomes_held_ends_the_waiting_at_once_with_the_reason() -> None:
    stub = StubCentral()
    jobs = Jobs(stub, 1, 2)
    jobs.states[2] = HELD
    why = "lost_too_often: 5 attempts were lost"
    jobs.reasons[2] = why
    stub.always["GET /v1/events"] = stream(HERE, moved(1, 2, HELD), moved(2, 1, DONE))
    jobs.states[1] = DONE

    with pytest.raises(JobsHeld, match=f"job 2 is Held: {why}") as told:
        await submission(stub, 1, 2).wait()
    assert told.value.held == {2: why}


async def test_a_held_job_is_told_of_while_others_are_still_awaited() -> None:
    stub = StubCentral()
    jobs = Jobs(stub, 1, 2)
    jobs.states[2] = HELD
    stub.always["GET /v1/events"] = stream(HERE, moved(1, 2, HELD), moved(2, 1, DONE))
    told: list[tuple[int, int]] = []
    awaited = Outstanding([1, 2], 1, on_held=lambda job, why: told.append((job, awaited.left)))

    with pytest.raises(JobsHeld):
        await stub.client().wait_for(awaited, "wait")
    assert told == [(2, 2)]


async def test_a_job_that_was_released_meanwhile_is_waited_for() -> None:
    stub = StubCentral()
    Jobs(stub, 1)  # reading says that it waits
    stub.always["GET /v1/events"] = stream(
        HERE, moved(1, 1, HELD), HERE, moved(3, 1, JobState.RUNNING), moved(4, 1, DONE)
    )
    ended = [handle.id async for handle in as_completed_async(submission(stub, 1).handles())]

    assert ended == [1]


async def test_who_wants_to_waits_through_a_hold() -> None:
    stub = StubCentral()
    jobs = Jobs(stub, 1)
    jobs.states[1] = HELD
    stub.always["GET /v1/events"] = not_there()

    def release_and_end() -> None:
        if len(stub.pace.slept) == 3:
            jobs.states[1] = DONE

    stub.pace.on_sleep = release_and_end

    assert (await stub.client().job(1).wait(through_held=True)).state is DONE


async def test_a_large_submission_of_which_only_held_jobs_are_left() -> None:
    stub = StubCentral()
    ids = range(1, 1_001)
    jobs = Jobs(stub, *ids)
    jobs.states.update(dict.fromkeys(ids, DONE))
    jobs.states.update(dict.fromkeys(range(1, 301), HELD))
    stub.always["GET /v1/events"] = stream(HERE)

    with pytest.raises(JobsHeld, match="job 1 is Held; so are 299 more"):
        await submission(stub, *ids).wait()


async def test_leaving_the_loop_early_closes_the_stream() -> None:
    stub = StubCentral()
    Jobs(stub, 1, 2)
    stub.always["GET /v1/events"] = stream(HERE, moved(1, 1, DONE), moved(2, 2, DONE))
    finished = as_completed_async(submission(stub, 1, 2).handles())

    assert (await anext(finished)).id == 1
    await finished.aclose()


async def test_events_of_one_job_end_with_it() -> None:
    stub = StubCentral()
    Jobs(stub, 1, 2)
    stub.always["GET /v1/events"] = stream(
        HERE, moved(1, 1, JobState.MATCHED), moved(2, 2, DONE), moved(3, 1, DONE), moved(4, 1, DONE)
    )
    heard = [event.seq async for event in stub.client().job(1).events()]

    assert heard == [1, 3]
