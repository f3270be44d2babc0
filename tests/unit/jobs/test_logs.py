"""Who of those that follow a job's output sees what, and how long."""

import asyncio

from pilotage.central.jobs.leases import LeaseTable
from pilotage.central.jobs.logs import LiveLogs
from pilotage.proto.messages import Attempt, LogChunk, Stop, Stream
from tests.builders import a_lease


class Nobody:
    """An outbound that says nothing."""

    up = False

    def wake(self, community: str, pilot: str, n: int, term: int) -> None: ...
    def stop(self, community: str, pilot: str, stop: Stop) -> None: ...
    def drain(self, community: str, pilot: str) -> None: ...
    def follow(self, community: str, pilot: str, attempt: Attempt) -> None: ...


async def test_the_end_of_an_older_attempt_does_not_end_those_who_follow_the_newer_one() -> None:
    leases = LeaseTable()
    logs = LiveLogs(leases, Nobody())
    leases.put(a_lease(job=7, epoch=2))
    seen: list[bytes] = []

    async def read() -> None:
        async for text in logs.live(7, Stream.OUT):
            seen.append(text)

    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(read())
        await asyncio.sleep(0)
        logs.ended(7, 1)
        logs.chunk(LogChunk(7, 2, Stream.OUT, 0, "hello\n"))
        for _ in range(3):
            await asyncio.sleep(0)

        assert seen == [b"hello\n"] and not reading.done()
        logs.ended(7, 2)

    assert not logs.followed(7)
