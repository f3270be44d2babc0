"""What is particular to mosquitto: many logins at once, and a broker that forgot them all."""

import asyncio
import secrets
from pathlib import Path

import pytest

from pilotage.central.bus.address import Address
from pilotage.central.bus.mosquitto import BATCH_MAX, MosquittoBus
from pilotage.proto import topics
from tests.contract.bus.stages import (
    IMPATIENT,
    MosquittoStage,
    RealClock,
    RealRandomness,
    TurnedAway,
    eventually,
)
from tests.services.mosquitto import Mosquitto, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"needs {missing()}")


async def unheard(topic: str, payload: bytes) -> None:
    pass


async def test_many_logins_are_made_and_removed_in_batches(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path, secrets.token_urlsafe(16))
    await broker.start()
    stage = MosquittoStage(broker)
    pilots = [f"p{n}" for n in range(BATCH_MAX + 50)]
    try:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(stage.bus.run(unheard))
            await eventually(lambda: stage.bus.up, "the bus is up")
            async with asyncio.TaskGroup() as adding:
                for pilot in pilots:
                    adding.create_task(stage.bus.add_login("ctao", pilot, pilot))
            last = await stage.enter(pilots[-1], pilots[-1])
            assert await last.subscribe(topics.down("ctao", pilots[-1]))
            async with asyncio.TaskGroup() as removing:
                for pilot in pilots:
                    removing.create_task(stage.bus.remove_login("ctao", pilot))
            for pilot in (pilots[0], pilots[-1]):
                with pytest.raises(TurnedAway):
                    await stage.enter(pilot, pilot)
            running.cancel()
    finally:
        await stage.leave()
        broker.stop()


async def test_logins_of_living_pilots_are_made_again_on_a_broker_that_forgot_them(
    tmp_path: Path,
) -> None:
    broker = Mosquitto(tmp_path, secrets.token_urlsafe(16))
    await broker.start()
    stage = MosquittoStage(broker)
    try:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(stage.bus.run(unheard))
            await eventually(lambda: stage.bus.up, "the bus is up")
            for pilot in ("lives", "ended"):
                await stage.bus.add_login("ctao", pilot, "word")
            await stage.bus.remove_login("ctao", "ended")
            broker.kill()
            broker.forget_logins()
            await eventually(lambda: not stage.bus.up, "the central sees it")
            await broker.start()
            await eventually(lambda: stage.bus.up, "the central is back")
            await stage.bus.add_login("ctao", "new", "word")  # answered behind the older ones

            client = await stage.enter("lives", "word")
            assert await client.subscribe(topics.down("ctao", "lives"))
            with pytest.raises(TurnedAway):
                await stage.enter("ended", "word")
            running.cancel()
    finally:
        await stage.leave()
        broker.stop()


async def test_a_wrong_password_of_the_central_is_said_and_tried_again(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path, secrets.token_urlsafe(16))
    await broker.start()
    said: list[str] = []

    def log(event: str, **fields: str) -> None:
        said.append(f"{event} {fields.get('why', '')}")

    bus = MosquittoBus(
        Address("127.0.0.1", broker.port, broker.user, "wrong"),
        clock=RealClock(),
        randomness=RealRandomness(),
        log=log,
        patience=IMPATIENT,
    )
    try:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(bus.run(unheard))
            await eventually(lambda: len(said) >= 2, "two attempts")
            running.cancel()
    finally:
        broker.stop()

    assert all("uthori" in one for one in said)
    assert not bus.up
