"""A real Slurm of one node."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.services.slurm import Slurm

from ..rig import Rig


@asynccontextmanager
async def rig(folder: Path) -> AsyncGenerator[Rig]:
    """Yield an element of kind `slurm`."""
    slurm = Slurm(folder / "slurm")
    await asyncio.to_thread(slurm.start)
    try:
        yield Rig("slurm", slurm.options, submits="sbatch")
    finally:
        await asyncio.to_thread(slurm.stop)
