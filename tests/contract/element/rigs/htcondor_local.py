"""A real HTCondor whose schedd is this machine's: it knows the user of the machine who submits."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pilotage.central.factory.commands import Commands, CompletedCommand
from pilotage.central.factory.element import ComputeElement
from tests.services.folders import open_folder
from tests.services.htcondor import OWNER, Htcondor

from ..rig import Rig
from ..troubles import Troubled
from .htcondor import FIRST_S, NO_SLOT, SUBMITS, running


class _AsOwner:
    """Programs run by a user: tests are root, who may not submit."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        timeout_s: float,
    ) -> CompletedCommand:
        """Run it. Raises NoAnswer and NotStarted."""
        return await self._commands.run(
            ["runuser", "-u", OWNER, "--", *argv],
            stdin=stdin,
            environment=environment,
            timeout_s=timeout_s,
        )


@dataclass(frozen=True)
class _OwnersRig(Rig):
    def element(self, commands: Commands, folder: Path) -> ComputeElement:
        """Return its driver."""
        return super().element(_AsOwner(commands), folder)

    def troubled(self, commands: Commands, folder: Path) -> tuple[ComputeElement, Troubled]:
        """Return its driver behind troubles."""
        return super().troubled(_AsOwner(commands), folder)


@asynccontextmanager
async def rig(folder: Path) -> AsyncGenerator[Rig]:
    """Yield an element of kind `htcondor` of this machine."""
    with open_folder("htcondor") as public:
        pool = Htcondor(public)
        async with running(pool):
            yield _OwnersRig(
                "htcondor", pool.options_here, no_slot=NO_SLOT, submits=SUBMITS, first_s=FIRST_S
            )
