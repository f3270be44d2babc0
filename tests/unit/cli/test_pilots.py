"""`pilotage pilot …`: what it asks for."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pilotage.central.cli import options
from pilotage.central.cli.main import run
from pilotage.proto.api.pilots import Secret, SecretRequest, Secrets


class Central:
    """Makes a secret, and keeps what it was asked for."""

    url = "https://central.test"

    def __init__(self) -> None:
        self.asked: list[SecretRequest] = []

    async def secrets(self, wanted: SecretRequest) -> Secrets:
        self.asked.append(wanted)
        return Secrets(secrets=[Secret(pilot="p1", secret="s")])


def test_an_admin_of_several_communities_names_that_of_the_pilots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    central = Central()

    @asynccontextmanager
    async def client_of(*_: object) -> AsyncGenerator[Central]:
        yield central

    monkeypatch.setattr(options, "client_of", client_of)
    words = ["pilot", "secret", "--site", "PIC", "--save", str(tmp_path)]

    assert run([*words, "--community", "lst"]) == 0
    assert central.asked == [SecretRequest(site="PIC", community="lst")]
    assert (tmp_path / "p1").read_text() == "s"
