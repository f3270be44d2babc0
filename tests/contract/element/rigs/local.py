"""The machine of the tests itself."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from ..rig import Rig


@asynccontextmanager
async def rig(folder: Path) -> AsyncGenerator[Rig]:
    """Yield an element of kind `local`."""
    yield Rig("local", {}, no_slot="t-never-made")
