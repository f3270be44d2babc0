"""Brokers of events that are not to be trusted."""

import asyncio
import ssl
from pathlib import Path

from pilotage.central.operate.rucio_servers.stomp_events import StompListener
from pilotage.central.rucio.files import RucioEvents
from tests.certificates import certificate_and_key
from tests.fake_central import FakeClock


async def test_a_broker_of_an_unknown_authority_gets_no_password(tmp_path: Path) -> None:
    certificate, key = certificate_and_key("localhost")
    (tmp_path / "broker.pem").write_bytes(key + certificate)
    (tmp_path / "password").write_text("secret")
    (tmp_path / "password").chmod(0o600)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "broker.pem")
    heard, said, away = bytearray(), list[str](), asyncio.Event()

    async def broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.read(1_000))
        writer.close()

    def log(event: str, **fields: str) -> None:
        said.append(f"{event} {fields['why']}")
        away.set()

    server = await asyncio.start_server(broker, "127.0.0.1", 0, ssl=context)
    events = RucioEvents(
        broker=f"stomps://localhost:{server.sockets[0].getsockname()[1]}",
        destination="/topic/events",
        user="pilotage",
        password_file=str(tmp_path / "password"),
    )
    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(
            StompListener(FakeClock(), log).listen(events, lambda event: None, "main")
        )
        async with asyncio.timeout(30):
            await away.wait()
        listening.cancel()
    server.close()

    assert said[0].startswith("rucio_events_away ")
    assert not heard
