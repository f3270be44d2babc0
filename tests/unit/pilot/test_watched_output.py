"""What is sent of a payload's output while somebody watches: each stream has its turn."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from pilotage.pilot.ports import HttpReply
from pilotage.pilot.talk.requests import Requests
from pilotage.pilot.talk.transfer import BlobTransfer
from pilotage.pilot.talk.watched_output import LiveOutput
from pilotage.proto.messages import Assignment, Body, Grant, LogChunk, Stream
from pilotage.proto.tasks import Tasks
from tests import virtual
from tests.fake_pilot import FakeClock, FakeHttp, FakeRandomness, FakeWorkspace

OUT, ERR, USAGE = Stream.OUT, Stream.ERR, Stream.USAGE
ONE = Assignment(7, 1, 1, 120.0, "", Grant(1, 1, 1.0), Body(("run",)))
FOLDER = Path("/attempts/1")


async def nothing(method: str, path: str, body: bytes, token: str) -> HttpReply:
    return HttpReply(404, b"")


class Story:
    """One attempt whose streams a test writes."""

    def __init__(self, tasks: Tasks) -> None:
        clock, self.workspace = FakeClock(), FakeWorkspace()
        requests = Requests(FakeHttp(nothing, self.workspace), clock, lambda event, facts: None)
        files = BlobTransfer(
            requests, self.workspace, clock, FakeRandomness(), lambda event, facts: None
        )
        self.chunks: list[LogChunk] = []
        self.output, self._tasks = LiveOutput(files, self.workspace, clock, self._send), tasks

    async def _send(self, assignment: Assignment, chunk: LogChunk) -> None:
        self.chunks.append(chunk)

    def write(self, stream: Stream, content: bytes) -> None:
        self.workspace.write(FOLDER / stream.value, content)

    def watch(self, *, anew: bool = False, over: bool = False) -> None:
        ids = frozenset({1}) if anew else frozenset[int]()
        self.output.watch(() if over else (ONE,), self._tasks, anew=ids)

    def text(self, stream: Stream) -> str:
        return "".join(chunk.text for chunk in self.chunks if chunk.stream is stream)


def story(tell: Callable[[Story], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with Tasks() as tasks:
            one = Story(tasks)
            await tell(one)
            one.watch(over=True)

    virtual.run(whole(), limit_s=1_000.0)


def test_what_is_empty_is_said_once_and_how_large_the_others_are() -> None:
    async def tell(one: Story) -> None:
        one.write(OUT, b"x" * 20_000)
        one.watch()
        await asyncio.sleep(5.0)

        assert [(c.stream, c.offset, len(c.text), c.size) for c in one.chunks] == [
            (OUT, 0, 16_000, 20_000),
            (ERR, 0, 0, 0),
            (USAGE, 0, 0, 0),
            (OUT, 16_000, 4_000, 20_000),
        ]

    story(tell)


def test_a_stream_that_never_ends_leaves_the_others_their_turn() -> None:
    async def tell(one: Story) -> None:
        one.write(OUT, b"x" * 10**7)
        one.write(ERR, b"a warning\n")
        one.write(USAGE, b"1 2 3 4 5\n")
        one.watch()
        await asyncio.sleep(2.0)

        assert (one.text(ERR), one.text(USAGE)) == ("a warning\n", "1 2 3 4 5\n")
        assert 64_000 <= len(one.text(OUT)) <= 160_000

    story(tell)


def test_who_comes_later_gets_it_from_the_beginning_and_nobody_gets_it_unasked() -> None:
    async def tell(one: Story) -> None:
        one.write(OUT, b"begun\n")
        one.watch()
        await asyncio.sleep(1.0)
        one.watch()
        await asyncio.sleep(1.0)
        assert one.text(OUT) == "begun\n"
        one.watch(anew=True)
        one.write(OUT, b"begun\nand\n")
        await asyncio.sleep(1.0)

        assert one.text(OUT) == "begun\nbegun\nand\n"
        one.watch(over=True)
        await asyncio.sleep(1.0)
        one.write(OUT, b"begun\nand ended\n")
        await asyncio.sleep(1.0)
        assert one.text(OUT) == "begun\nbegun\nand\n"

    story(tell)
