"""Following what a job writes, from one attempt to the next."""

import httpx
import pytest

from pilotage.central.client.errors import JobsHeld
from pilotage.proto.job_states import JobState

from .stub_central import Got, Jobs, StubCentral, lost, stream

WAITING, RUNNING, DONE = JobState.WAITING, JobState.RUNNING, JobState.DONE


class Life:
    """A job that goes one state further each time it is looked at, and what it writes."""

    def __init__(self, *states: JobState, live: list[list[bytes | Exception]], kept: bytes) -> None:
        self.stub = StubCentral()
        self._jobs, self._states = Jobs(self.stub, 5), list(states)
        self._detail = self._jobs.detail
        self._live, self._kept = live, kept
        self.stub.always["GET /v1/jobs/5"] = self._look
        self.stub.always["GET /v1/jobs/5/logs/stdout"] = self._log

    async def followed(self) -> bytes:
        async with self.stub.client() as client:
            return b"".join([piece async for piece in client.job(5).log(follow=True)])

    def _look(self, got: Got) -> httpx.Response:
        state = self._states.pop(0)
        before, self._jobs.states[5] = self._jobs.states[5], state
        if state is RUNNING and before is not RUNNING:
            self._jobs.epochs[5] += 1
        return self._detail(got)

    def _log(self, got: Got) -> httpx.Response:
        if "follow" in got.query:
            return stream(*self._live.pop(0))(got)
        return stream(self._kept)(got)


async def test_a_job_that_waits_is_followed_once_it_runs() -> None:
    life = Life(WAITING, WAITING, RUNNING, DONE, live=[[b"one\n", b"two\n"]], kept=b"one\ntwo\n")

    assert await life.followed() == b"one\ntwo\n"
    assert len(life.stub.pace.slept) == 2


async def test_the_last_words_come_from_what_was_kept() -> None:
    life = Life(RUNNING, DONE, live=[[b"one\n"]], kept=b"one\ntwo\n")

    assert await life.followed() == b"one\ntwo\n"


async def test_output_with_a_gap_is_left_as_it_is() -> None:
    gap = b"[4 bytes were not sent]\n"
    life = Life(RUNNING, DONE, live=[[gap, b"two\n"]], kept=b"one\ntwo\n")

    assert await life.followed() == gap + b"two\n"


async def test_a_job_that_has_ended_shows_what_was_kept() -> None:
    assert await Life(DONE, live=[], kept=b"all\n").followed() == b"all\n"


async def test_a_second_attempt_is_followed_after_the_first() -> None:
    life = Life(
        *(RUNNING, WAITING, RUNNING, DONE), live=[[b"first\n"], [b"second\n"]], kept=b"first\n"
    )

    assert await life.followed() == b"first\nsecond\n"


async def test_a_broken_connection_passes_over_what_was_seen() -> None:
    life = Life(*(RUNNING, DONE), live=[[b"one ", lost()], [b"one ", b"two"]], kept=b"one two")

    assert await life.followed() == b"one two"


async def test_who_follows_a_job_that_is_held_hears_so() -> None:
    life = Life(RUNNING, JobState.HELD, live=[[b"one\n"]], kept=b"one\n")

    with pytest.raises(JobsHeld, match="job 5 is Held"):
        await life.followed()
