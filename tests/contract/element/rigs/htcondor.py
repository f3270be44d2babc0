"""A real HTCondor pool, submitted to from afar with an IDTOKEN."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.services.folders import open_folder
from tests.services.htcondor import Htcondor

from ..rig import Rig, Token


@asynccontextmanager
async def rig(folder: Path) -> AsyncGenerator[Rig]:
    """Yield an element of kind `htcondor`."""
    with open_folder("htcondor") as public:
        pool = Htcondor(public)
        await asyncio.to_thread(pool.start)
        try:
            yield Rig(
                "htcondor",
                pool.options,
                credential=Token(pool.token()),
                no_slot="999999.0",
                submits="sh",
                first_s=40.0,
            )
        finally:
            await asyncio.to_thread(pool.stop)
