"""A machine behind OpenSSH's real server, where pilots start at once."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.services.sshd import Sshd

from ..rig import Rig


@asynccontextmanager
async def rig(folder: Path) -> AsyncGenerator[Rig]:
    """Yield an element of kind `ssh`."""
    sshd = Sshd(folder / "sshd")
    await asyncio.to_thread(sshd.start)
    try:
        yield Rig("ssh", sshd.options, no_slot="t-never-made")
    finally:
        await asyncio.to_thread(sshd.stop)
