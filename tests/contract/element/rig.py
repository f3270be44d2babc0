"""What the contract suite needs of each kind of element."""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from pilotage.central.factory.commands import Commands
from pilotage.central.factory.credential import Credential, CredentialSource
from pilotage.central.factory.drivers import Tools, element
from pilotage.central.factory.element import ComputeElement
from pilotage.central.factory.errors import Denied, ElementTrouble, ElementUnreachable
from pilotage.central.operate.clocks import SystemClock
from tests.acceptance.identity.providers import RunningProvider

from .troubles import Troubled, TroubledWeb


@dataclass(frozen=True)
class Token:
    """A credential that lives for as long as the suite."""

    text: str = field(repr=False)

    async def current(self) -> Credential:
        return Credential(self.text)


def _trusts_none(provider: RunningProvider) -> None:
    """Leave a provider unknown."""


@dataclass(frozen=True)
class Rig:
    """A real element that runs, and how a driver of it is made."""

    kind: str
    options: dict[str, Any]
    credential: CredentialSource | None = None
    no_slot: str = "1"  # of the form of its slots, and never given
    submits: str = ""  # the program that submits; empty: there is but one
    first_s: float = 20.0  # how long its word on a pilot may take
    web: ssl.SSLContext | None = None  # it is reached by HTTPS, and not by programs
    has_one_stream: bool = False  # what a pilot prints is all in stdout
    audience: str = ""  # whom tokens must be for
    trust: Callable[[RunningProvider], None] = _trusts_none

    def element(self, commands: Commands, folder: Path) -> ComputeElement:
        """Return its driver."""
        return self._made(commands, folder, None)

    def _made(
        self, commands: Commands, folder: Path, transport: httpx.AsyncBaseTransport | None
    ) -> ComputeElement:
        tools = Tools(commands, SystemClock(), folder, self.credential, transport)
        return element(self.kind, self.options, tools)

    def troubled(self, commands: Commands, folder: Path) -> tuple[ComputeElement, Troubled]:
        """Return its driver behind troubles."""
        troubles = Troubled(commands)
        transport = None if self.web is None else TroubledWeb(troubles, self.web)
        return self._made(troubles, folder, transport), troubles

    @property
    def without_programs(self) -> tuple[type[ElementTrouble], str]:
        """Return what is raised where nothing is there that could be asked, and its words."""
        return (Denied, "no such file") if self.web is None else (ElementUnreachable, "refused")


Start = Callable[[Path], AbstractAsyncContextManager[Rig]]
Rigs = AsyncIterator[Rig]
