"""Who of those that follow a job's output sees what, and how long."""

import asyncio
import gc
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from pilotage.central.errors import Refused
from pilotage.central.jobs.leases import LeasePhase, LeaseTable
from pilotage.central.jobs.output import live_logs as live
from pilotage.central.jobs.output.live_logs import (
    BEHIND_BYTES,
    BEHIND_MAX,
    FOLLOWED_MAX,
    LOOKS_MAX,
    TAIL_BYTES,
    LiveLogs,
    StreamTail,
)
from pilotage.proto.messages import Attempt, LogChunk, Stop, Stream
from pilotage.proto.problems import Code
from tests import virtual
from tests.builders import a_lease
from tests.unit.identity.issuer import person

ADA, BOB = person(subject="ada"), person(subject="bob")
OUT, ERR, USAGE = Stream.OUT, Stream.ERR, Stream.USAGE


class Nobody:
    """An outbound that says nothing, and keeps whom it was told to follow."""

    up = False

    def __init__(self) -> None:
        self.told: list[Attempt] = []

    def wake(self, community: str, pilot: str, n: int, term: int, leader: str = "") -> None: ...
    def stop(self, community: str, pilot: str, stop: Stop) -> None: ...
    def drain(self, community: str, pilot: str) -> None: ...
    def hurry(self, community: str, pilot: str) -> None: ...

    def follow(self, community: str, pilot: str, attempt: Attempt) -> None:
        self.told.append(attempt)


class Story:
    """Job 7, which runs in its second attempt, and its output."""

    def __init__(self, *, up: bool = False) -> None:
        self.leases, self.outbound = LeaseTable(), Nobody()
        self.outbound.up = up
        self.logs = LiveLogs(self.leases, self.outbound)
        self.lease = a_lease(job=7, epoch=2)
        self.leases.put(self.lease)

    def says(self, stream: Stream, offset: int, text: str, size: int = 0) -> None:
        self.logs.chunk(LogChunk(7, 2, stream, offset, text, size))

    @asynccontextmanager
    async def reads(self, stream: Stream) -> AsyncGenerator[list[bytes]]:
        """Follow a stream; what has come is in the list."""
        seen: list[bytes] = []

        async def read() -> None:
            async for text in self.logs.live(ADA, 7, stream):
                seen.append(text)

        reading = asyncio.get_running_loop().create_task(read())
        await turns()
        try:
            yield seen
        finally:
            reading.cancel()
            await asyncio.wait([reading])


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def story(tell: Callable[[Story], Awaitable[None]], *, up: bool = False) -> None:
    async def whole() -> None:
        await tell(Story(up=up))

    virtual.run(whole(), limit_s=1_000.0)


def test_the_end_of_an_older_attempt_does_not_end_those_who_follow_the_newer_one() -> None:
    async def tell(one: Story) -> None:
        async with one.reads(OUT) as seen:
            one.logs.ended(7, 1)
            one.says(OUT, 0, "hello\n")
            await turns()

            assert seen == [b"hello\n"] and one.logs.followed(7)
            one.logs.ended(7, 2)
            await turns()
            assert not one.logs.followed(7)

    story(tell)


def test_each_reader_sees_its_stream_once_and_where_something_was_lost() -> None:
    async def tell(one: Story) -> None:
        async with one.reads(OUT) as out, one.reads(ERR) as err:
            one.says(OUT, 0, "abc")
            one.says(OUT, 0, "abcde", size=5)
            one.says(ERR, 0, "", size=0)
            one.says(OUT, 9, "jk")
            await turns()

            assert b"".join(out) == b"abcde\n[4 bytes were not sent]\njk"
            assert err == [], "an empty piece would end an answer that is sent in pieces"

    story(tell)


def test_who_comes_later_has_the_end_where_the_pilot_cannot_begin_anew() -> None:
    async def tell(one: Story) -> None:
        async with one.reads(OUT) as first:
            one.says(OUT, 0, "abc")
            await turns()
            async with one.reads(OUT) as second:
                await turns()
                assert second == ([b"abc"] if not one.outbound.up else [])
                one.says(OUT, 0, "abcd")
                await turns()
                assert (b"".join(first), b"".join(second)) == (b"abcd", b"abcd")
        assert one.outbound.told == [Attempt(7, 2)] * 2, "each asks the pilot to begin"

    story(tell)
    story(tell, up=True)


def test_a_look_is_over_when_all_has_come() -> None:
    async def tell(one: Story) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        looking = loop.create_task(one.logs.look(ADA, 7, wait_s=15.0))
        await turns()
        one.says(OUT, 0, "abc", size=8)
        one.says(ERR, 0, "", size=0)
        one.says(USAGE, 100, "1 2 3 4 5\n", size=110)
        await asyncio.sleep(3.0)
        assert not looking.done(), "five bytes are on the way"
        one.says(OUT, 3, "defgh", size=8)
        look = await looking

        assert look is not None and look.complete and loop.time() - began < 4.0
        assert look.ends == {
            OUT: StreamTail(b"abcdefgh", 0, 8),
            ERR: StreamTail(b"", 0, 0),
            USAGE: StreamTail(b"1 2 3 4 5\n", 100, 110),
        }
        assert not one.logs.followed(7)

    story(tell)


def test_a_look_does_not_wait_for_ever() -> None:
    async def tell(one: Story) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        silent = await one.logs.look(ADA, 7, wait_s=15.0)
        waited_s = loop.time() - began
        looking = loop.create_task(one.logs.look(ADA, 7, wait_s=15.0))
        await turns()
        one.says(OUT, 0, "of a pilot that says no sizes")
        old = await looking
        spent_s = loop.time() - began - waited_s

        assert silent is not None and not silent.complete and not silent.ends
        assert 15.0 <= waited_s < 16.0
        assert old is not None and not old.complete and old.ends[OUT].size == 29
        assert live.QUIET_S <= spent_s < 2 * live.QUIET_S

    story(tell)


def test_a_look_ends_with_its_attempt_and_where_nothing_runs_there_is_none() -> None:
    async def tell(one: Story) -> None:
        looking = asyncio.get_running_loop().create_task(one.logs.look(ADA, 7, wait_s=15.0))
        await turns()
        one.logs.ended(7, 2)
        look = await looking

        assert look is not None and look.complete
        one.lease.phase = LeasePhase.OPEN
        assert await one.logs.look(ADA, 7, wait_s=15.0) is None
        assert await one.logs.look(ADA, 8, wait_s=15.0) is None

    story(tell)


def test_no_more_than_the_end_is_kept_of_what_is_followed() -> None:
    async def tell(one: Story) -> None:
        looking = asyncio.get_running_loop().create_task(one.logs.look(ADA, 7, wait_s=15.0))
        await turns()
        size = 100 * 16_000
        for offset in range(0, size, 16_000):
            one.says(OUT, offset, "x" * 16_000, size=size)
        one.says(ERR, 0, "")
        one.says(USAGE, 0, "")
        look = await looking

        assert look is not None and look.complete
        assert look.ends[OUT] == StreamTail(b"x" * TAIL_BYTES, size - TAIL_BYTES, size)

    story(tell)


def test_a_character_that_the_pilot_holds_back_is_not_waited_for() -> None:
    async def tell(one: Story) -> None:
        looking = asyncio.get_running_loop().create_task(one.logs.look(ADA, 7, wait_s=15.0))
        await turns()
        one.says(OUT, 0, "ab", size=4)
        one.says(ERR, 0, "")
        one.says(USAGE, 0, "")
        look = await looking

        assert look is not None and look.complete

    story(tell)


def test_a_person_follows_so_many_streams_at_once_and_an_ended_one_makes_room() -> None:
    async def tell(one: Story) -> None:
        streams = [one.logs.live(ADA, 7, OUT) for _ in range(FOLLOWED_MAX)]
        with pytest.raises(Refused, match="follow 16 streams of jobs") as refused:
            one.logs.live(ADA, 7, OUT)
        assert (refused.value.code, refused.value.status) == (Code.TOO_MANY, 429)
        others = one.logs.live(BOB, 7, OUT)

        reading = asyncio.get_running_loop().create_task(cast(Any, anext(streams[0])))
        await turns()
        one.says(OUT, 0, "abc")
        assert await reading == b"abc"
        await cast(Any, streams[0]).aclose()
        streams[0] = one.logs.live(ADA, 7, OUT)
        streams.pop()  # one that was never read ends with its last holder
        gc.collect()
        streams.append(one.logs.live(ADA, 7, OUT))
        with pytest.raises(Refused):
            one.logs.live(ADA, 7, OUT)
        del others

    story(tell)


@pytest.mark.parametrize(
    ("then", "seen"),
    [
        ([(0, "abcdef")], [b"abcdef"]),
        ([(6, "g")], [b"\n[3 bytes were not sent]\n", b"def", b"g"]),  # the word was lost
        ([], [b"\n[3 bytes were not sent]\n", b"def"]),
    ],
)
def test_a_pilot_that_goes_on_for_the_leader_before_us_is_told_to_begin_anew(
    then: list[tuple[int, str]], seen: list[bytes]
) -> None:
    async def tell(one: Story) -> None:
        async with one.reads(OUT) as out:
            one.says(OUT, 3, "def")
            await turns()

            assert out == [] and one.outbound.told == [Attempt(7, 2)] * 2
            for offset, text in then:
                one.says(OUT, offset, text)
            one.logs.ended(7, 2)
            await turns()

            assert out == seen
            assert len(one.outbound.told) == 2

    story(tell, up=True)


def test_pieces_say_where_they_begin_and_nothing_else() -> None:
    async def tell(one: Story) -> None:
        stream = one.logs.live(ADA, 7, OUT, pieces=True)
        reading = asyncio.get_running_loop().create_task(cast(Any, anext(stream)))
        await turns()
        one.says(OUT, 3, "de")
        one.says(OUT, 0, "abcdef")
        one.says(OUT, 9, "j\n")
        one.logs.ended(7, 2)

        assert [await reading, *[data async for data in stream]] == [
            b"3 2\nde",
            b"5 1\nf",
            b"9 2\nj\n",
        ]

    story(tell)


def test_a_person_looks_at_so_many_jobs_at_once() -> None:
    async def tell(one: Story) -> None:
        loop = asyncio.get_running_loop()
        looks = [loop.create_task(one.logs.look(ADA, 7, wait_s=15.0)) for _ in range(LOOKS_MAX)]
        await turns()
        with pytest.raises(Refused, match="look at 16 running jobs") as refused:
            await one.logs.look(ADA, 7, wait_s=15.0)
        assert refused.value.code is Code.TOO_MANY
        assert await one.logs.look(ADA, 8, wait_s=15.0) is None, "nothing runs there"
        assert await one.logs.look(BOB, 7, wait_s=1.0) is not None
        looks[0].cancel()
        await asyncio.wait([looks[0]])

        assert await one.logs.look(ADA, 7, wait_s=1.0) is not None
        await asyncio.gather(*looks[1:])

    story(tell)


@pytest.mark.parametrize(
    ("chunk", "count", "kept"),
    [(16_000, 200, BEHIND_BYTES // 16_000), (10, 2 * BEHIND_MAX, BEHIND_MAX)],
)
def test_no_more_than_so_much_waits_for_a_slow_reader(chunk: int, count: int, kept: int) -> None:
    async def tell(one: Story) -> None:
        stream = one.logs.live(ADA, 7, OUT)
        reading = asyncio.get_running_loop().create_task(cast(Any, anext(stream)))
        await turns()
        one.says(OUT, 0, "x" * chunk)
        first = await reading
        for number in range(1, count):
            one.says(OUT, number * chunk, "x" * chunk)
        one.logs.ended(7, 2)
        rest = [text async for text in stream]

        lost = (count - 1 - kept) * chunk
        assert rest[0] == f"\n[{lost} bytes were not sent]\n".encode()
        assert [len(text) for text in (first, *rest[1:])] == [chunk] * (1 + kept)

    story(tell)


def test_a_chunk_is_made_bytes_of_once_for_all_who_read_it() -> None:
    async def tell(one: Story) -> None:
        async with one.reads(OUT) as first, one.reads(OUT) as second:
            one.says(OUT, 0, "abc")
            await turns()

            assert first == [b"abc"] and first[0] is second[0]

    story(tell)
