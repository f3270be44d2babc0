"""A mosquitto of a story's own, and the settings of a central that uses it."""

import asyncio
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.services.mosquitto import Mosquitto


@contextmanager
def started_broker(folder: Path) -> Generator[tuple[Mosquitto, dict[str, str]]]:
    """Run a broker whose files lie in `folder`, which is made if it is not there."""
    folder.mkdir(exist_ok=True)
    broker, password = Mosquitto(folder, secrets.token_urlsafe()), folder / "password"
    password.touch(mode=0o600)
    password.write_text(broker.password)
    asyncio.run(broker.start())
    try:
        yield (
            broker,
            {
                "bus.broker": f"mqtt://127.0.0.1:{broker.port}",
                "bus.user": broker.user,
                "bus.password_file": str(password),
            },
        )
    finally:
        broker.stop()
