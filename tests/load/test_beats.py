"""How fast beats are answered over the embedded broker. The figure holds on a quiet machine."""

import asyncio
import time
from pathlib import Path

import pytest

from pilotage.proto import topics
from pilotage.proto.topics import TopicKind
from tests.contract.bus.stages import Client, eventually, stage

PILOTS = 20
BEATS_S = 200
SECONDS = 5.0
P99_MS = 50.0


@pytest.mark.long
async def test_two_hundred_beats_a_second_of_twenty_pilots_are_answered_in_time(
    tmp_path: Path,
) -> None:
    took_ms: list[float] = []
    async with stage("embedded", tmp_path) as on, asyncio.TaskGroup() as tasks:

        async def answer(topic: str, payload: bytes) -> None:
            spoken = topics.parse_up(topic)
            assert spoken is not None
            on.bus.publish(topics.down(spoken.community, spoken.pilot), payload)

        async def beat(client: Client, pilot: str) -> None:
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                sent = time.monotonic()
                await client.publish(topics.up("ctao", pilot, TopicKind.BEAT), b"beat")
                if await client.receive(1.0) is not None:
                    took_ms.append((time.monotonic() - sent) * 1000)
                await asyncio.sleep(max(0.0, sent + PILOTS / BEATS_S - time.monotonic()))

        running = tasks.create_task(on.bus.run(answer))
        await eventually(lambda: on.bus.up, "the bus is up")
        async with asyncio.TaskGroup() as beating:
            for n in range(PILOTS):
                await on.bus.add_login("ctao", f"p{n}", "word")
                client = await on.enter(f"p{n}", "word")
                assert await client.subscribe(topics.down("ctao", f"p{n}"))
                beating.create_task(beat(client, f"p{n}"))
        running.cancel()
    took_ms.sort()
    p50, p99 = took_ms[len(took_ms) // 2], took_ms[int(len(took_ms) * 0.99)]
    print(f"{len(took_ms)} beats answered, p50 {p50:.2f} ms, p99 {p99:.2f} ms")

    assert len(took_ms) > 0.95 * BEATS_S * SECONDS
    assert p99 < P99_MS
