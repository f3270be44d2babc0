"""A stand-in for the client that a command gets of its frame."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from pilotage.central.cli import command_frame as frame


def give(client: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands have `client` in place of one that speaks to a central."""

    @asynccontextmanager
    async def client_of(*_: object) -> AsyncGenerator[object]:
        yield client

    monkeypatch.setattr(frame, "client_of", client_of)
