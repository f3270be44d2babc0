"""A real ARC 7, whose jobs are forked, with a token."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from pilotage.proto.trust import trusting
from tests.acceptance.identity.providers import RunningProvider
from tests.services.arc import Arc
from tests.services.folders import open_folder

from ..rig import Rig, Token


@asynccontextmanager
async def rig(folder: Path) -> AsyncGenerator[Rig]:
    """Yield an element of kind `arc`."""
    with open_folder("arc") as public:
        arc = Arc(public)

        def trust(provider: RunningProvider) -> None:
            arc.trust(provider.ca_file.read_bytes())

        await asyncio.to_thread(arc.start)
        try:
            yield Rig(
                "arc",
                arc.options,
                credential=Token(arc.token()),
                no_slot="abcdef012345",
                submits="/jobs?action=new",
                first_s=200.0,
                web=trusting(str(arc.options["ca_file"])),
                audience=str(arc.options["url"]),
                trust=trust,
            )
        finally:
            await asyncio.to_thread(arc.stop)
