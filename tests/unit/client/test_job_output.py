"""Following what a job writes, from one attempt to the next."""

from collections.abc import Sequence

import httpx
import pytest

from pilotage.central.client.errors import JobsHeld, Unreachable
from pilotage.central.client.waiting.job_output import OutputPart
from pilotage.proto.api.jobs import Peek
from pilotage.proto.job_states import JobState
from pilotage.proto.pieces import MEDIA, piece

from .stub_central import Got, Jobs, Streaming, StubCentral, lost, ok, stream

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


class Leaders:
    """Job 5 in its second attempt, followed over what several leaders answer, one by one."""

    def __init__(self, *answers: Sequence[bytes | Exception], kept: bytes = b"") -> None:
        self.stub = StubCentral()
        self.jobs = Jobs(self.stub, 5)
        self.jobs.states[5], self.jobs.epochs[5] = RUNNING, 2
        self.parts: list[OutputPart] = []
        self.told: list[str] = []
        self.attempts: list[int] = []  # of the answers, 2 where nothing stands here
        self._answers, self._kept = list(answers), kept
        self.stub.always["GET /v1/jobs/5/logs/stdout"] = self._log

    async def followed(self, patience_s: float = 30.0) -> bytes:
        client = self.stub.client(
            patience_s=patience_s, on_retry=lambda why, pause_s: self.told.append(why)
        )
        async with client:
            log = client.log(5, follow=True, on_part=self.parts.append)
            return b"".join([text async for text in log])

    def _log(self, got: Got) -> httpx.Response:
        headers = {"pilotage-newest-attempt": "2", "pilotage-attempt": "2"}
        if "follow" not in got.query:
            return httpx.Response(200, headers=headers, stream=Streaming([self._kept]))
        assert MEDIA in got.headers["accept"]
        headers["content-type"] = MEDIA
        if self.attempts:
            headers["pilotage-attempt"] = str(self.attempts.pop(0))
        pieces = self._answers.pop(0)
        if not self._answers:
            self.jobs.states[5] = DONE
        return httpx.Response(200, headers=headers, stream=Streaming(pieces))


async def test_another_leader_goes_on_where_the_one_before_broke_off() -> None:
    one = Leaders(
        [piece(0, b"1\n2\n"), piece(4, b"3\n"), lost()],
        [piece(4, b"3\n4\n"), piece(8, b"5\n")],
        kept=b"1\n2\n3\n4\n5\n6\n",
    )

    assert await one.followed() == b"1\n2\n3\n4\n5\n6\n"
    assert [part.attempt for part in one.parts] == [2]
    assert one.told == ["the answer broke off: connection reset"]


async def test_what_no_leader_can_give_is_told_on_a_line_of_its_own() -> None:
    one = Leaders(
        [piece(0, b"1\n2"), lost()],
        [piece(7, b"5\n"), lost()],
        [piece(13, b"8\n")],
    )
    missing = b"[4 bytes were not sent]\n"

    assert await one.followed() == b"1\n2\n" + missing + b"5\n" + missing + b"8\n"


async def test_what_a_job_says_itself_counts_as_its_own_wherever_it_is_cut() -> None:
    said = b"\n[9 bytes were not sent]\n7 7\n"
    whole = piece(0, said) + piece(len(said), b"end\n")
    for cut in range(len(whole)):
        one = Leaders([whole[:cut], lost()], [whole[:3], whole[3:]], kept=said + b"end\n")

        assert await one.followed() == said + b"end\n", cut


async def test_after_a_gap_the_last_words_still_come_from_what_was_kept() -> None:
    one = Leaders([piece(2, b"2\n")], kept=b"1\n2\n3\n")

    assert await one.followed() == b"[2 bytes were not sent]\n2\n3\n"


async def test_a_leader_that_does_not_know_the_attempt_yet_is_asked_again() -> None:
    one = Leaders(
        [piece(0, b"1\n"), lost()], [piece(0, b"of an earlier one")], [piece(0, b"1\n2\n")]
    )
    one.attempts = [2, 1, 2]

    assert await one.followed() == b"1\n2\n"


async def test_a_stream_that_breaks_for_ever_is_tried_as_long_as_all_else() -> None:
    one = Leaders([piece(0, b"1\n"), lost()], *([lost()] for _ in range(50)))
    with pytest.raises(Unreachable, match="connection reset"):
        await one.followed(patience_s=5.0)

    assert 3.0 < one.stub.pace.now <= 5.0
    assert len(one.told) == len(one.stub.pace.slept) > 2


async def test_a_job_that_was_silent_for_long_is_followed_on_after_a_break() -> None:
    one = Leaders([piece(0, b"1\n"), lost()], [piece(0, b"1\n2\n")])
    answers = one.stub.always["GET /v1/jobs/5/logs/stdout"]
    assert callable(answers)

    def later(got: Got) -> httpx.Response:
        one.stub.pace.now += 600.0
        return answers(got)

    one.stub.always["GET /v1/jobs/5/logs/stdout"] = later

    assert await one.followed(patience_s=5.0) == b"1\n2\n"


class SoFar:
    """Job 5 in its second attempt: what was kept of the first, and what its pilot sends now."""

    def __init__(self, kept: bytes, now: Peek) -> None:
        self.stub = StubCentral()
        self.parts: list[OutputPart] = []
        self.headers = {"pilotage-newest-attempt": "2", "pilotage-attempt": "1" if kept else "0"}
        self._kept = kept
        self.stub.always["GET /v1/jobs/5/logs/stdout"] = self._log
        self.stub.always["GET /v1/jobs/5/peek"] = ok(now)

    async def read(self) -> bytes:
        async with self.stub.client() as client:
            return b"".join([text async for text in client.log(5, on_part=self.parts.append)])

    def _log(self, got: Got) -> httpx.Response:
        return httpx.Response(200, headers=self.headers, stream=Streaming([self._kept]))


async def test_a_running_job_shows_what_it_has_written_so_far() -> None:
    now = Peek(job=5, epoch=2, live=True, stdout="zwölf\n", stdout_bytes=100)
    one = SoFar(b"of the first attempt\n", now)

    assert await one.read() == "zwölf\n".encode()
    assert one.parts == [OutputPart(attempt=2, newest=2, left_out=93, is_live=True)]


async def test_a_running_job_without_output_shows_the_attempt_before_it() -> None:
    one = SoFar(b"of the first attempt\n", Peek(job=5, epoch=2, live=True, complete=False))

    assert await one.read() == b"of the first attempt\n"
    assert one.parts == [OutputPart(attempt=1, newest=2, is_late=True)]


async def test_an_attempt_that_ends_while_it_is_looked_at_shows_what_was_kept() -> None:
    one = SoFar(b"", Peek(job=5, epoch=2, stdout="the end\n", stdout_bytes=999))
    looked = one.stub.always["GET /v1/jobs/5/peek"]
    assert callable(looked)

    def ends(got: Got) -> httpx.Response:
        one.headers["pilotage-attempt"], one._kept = "2", b"all\nthe end\n"
        return looked(got)

    one.stub.always["GET /v1/jobs/5/peek"] = ends

    assert await one.read() == b"all\nthe end\n"
    assert one.parts == [OutputPart(attempt=2, newest=2)]


async def test_the_pilot_is_not_asked_for_what_was_kept() -> None:
    one = SoFar(b"all\n", Peek(job=5))
    one.headers["pilotage-attempt"] = "2"

    assert await one.read() == b"all\n"
    assert one.stub.lines() == ["GET /v1/jobs/5/logs/stdout"]
