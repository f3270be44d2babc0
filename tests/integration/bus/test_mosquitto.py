"""What is particular to mosquitto: many logins at once, and a broker that forgot them all."""

import asyncio
import datetime
import ipaddress
import secrets
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pilotage.central.bus.address import Address
from pilotage.central.bus.mosquitto import BATCH_MAX, MosquittoBus
from pilotage.proto import topics
from pilotage.proto.trust import trusting
from tests.contract.bus.stages import (
    IMPATIENT,
    Client,
    MosquittoStage,
    RealClock,
    RealRandomness,
    TurnedAway,
    eventually,
)
from tests.services.mosquitto import Mosquitto, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"needs {missing()}")

MANY_S = 30.0  # for some hundred logins, on a machine that others share


async def unheard(topic: str, payload: bytes) -> None:
    pass


async def let_in(stage: MosquittoStage, pilot: str) -> Client:
    """Enter as soon as the broker lets the pilot in: many logins may take longer than a call."""
    async with asyncio.timeout(MANY_S):
        while True:
            try:
                return await stage.enter(pilot, pilot)
            except TurnedAway:
                await asyncio.sleep(0.1)


async def turned_away(stage: MosquittoStage, pilot: str) -> None:
    """Return once the broker lets the pilot in no more."""
    async with asyncio.timeout(MANY_S):
        while True:
            try:
                await (await stage.enter(pilot, pilot)).vanish()
            except TurnedAway:
                return
            await asyncio.sleep(0.1)


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
            last = await let_in(stage, pilots[-1])
            assert await last.subscribe(topics.down("ctao", pilots[-1]))
            async with asyncio.TaskGroup() as removing:
                for pilot in pilots:
                    removing.create_task(stage.bus.remove_login("ctao", pilot))
            for pilot in (pilots[0], pilots[-1]):
                await turned_away(stage, pilot)
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
    waits: list[float] = []

    def log(event: str, **fields: str) -> None:
        said.append(f"{event} {fields.get('why', '')}")

    class Waits(RealRandomness):
        def uniform(self, low: float, high: float) -> float:
            waits.append(high)
            return super().uniform(low, high)

    bus = MosquittoBus(
        Address("127.0.0.1", broker.port, broker.user, "wrong"),
        clock=RealClock(),
        randomness=Waits(),
        log=log,
        patience=IMPATIENT,
    )
    try:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(bus.run(unheard))
            await eventually(lambda: len(waits) >= 2, "two attempts")
            running.cancel()
    finally:
        broker.stop()

    assert len(said) == 1
    assert "uthori" in said[0]
    assert not bus.up


def certificate(file: Path) -> Path:
    """Write a certificate of its own for 127.0.0.1, with its key, into `file`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "broker of a test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    file.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return file


# paho leaves the socket of a refused handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_the_tls_listener_of_the_shipped_configuration_works(tmp_path: Path) -> None:
    file = certificate(tmp_path / "server.pem")
    broker = Mosquitto(tmp_path, secrets.token_urlsafe(16), certificate=file)
    await broker.start()

    async def is_up_with(tls: ssl.SSLContext) -> bool:
        said: list[str] = []
        bus = MosquittoBus(
            Address("127.0.0.1", broker.tls_port, broker.user, broker.password, tls),
            clock=RealClock(),
            randomness=RealRandomness(),
            log=lambda event, **fields: said.append(f"{event} {fields.get('why')}"),
            patience=IMPATIENT,
        )
        assert bus.url == f"mqtts://127.0.0.1:{broker.tls_port}"
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(bus.run(unheard))
            await eventually(
                lambda: bus.up or any("certificate" in one.lower() for one in said), "an outcome"
            )
            up = bus.up
            running.cancel()
        return up

    try:
        assert await is_up_with(trusting(str(file)))
        assert not await is_up_with(trusting())  # it does not know the issuer
    finally:
        broker.stop()
