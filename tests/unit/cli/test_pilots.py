"""`pilotage pilot …`: what it asks for."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from pilotage.central.cli import options
from pilotage.central.cli.main import run
from pilotage.central.operate import local_pilots
from pilotage.proto.api.pilots import Secret, SecretRequest, Secrets


class Central:
    """Makes a secret, and keeps what it was asked for."""

    url = "https://central.test"

    def __init__(self) -> None:
        self.asked: list[SecretRequest] = []

    async def secrets(self, wanted: SecretRequest) -> Secrets:
        self.asked.append(wanted)
        return Secrets(secrets=[Secret(pilot="p1", secret="s")])


@pytest.fixture
def central(monkeypatch: pytest.MonkeyPatch) -> Central:
    made = Central()

    @asynccontextmanager
    async def client_of(*_: object) -> AsyncGenerator[Central]:
        yield made

    monkeypatch.setattr(options, "client_of", client_of)
    return made


def test_an_admin_of_several_communities_names_that_of_the_pilots(
    tmp_path: Path, central: Central
) -> None:
    words = ["pilot", "secret", "--site", "PIC", "--save", str(tmp_path)]

    assert run([*words, "--community", "lst"]) == 0
    assert central.asked == [SecretRequest(site="PIC", community="lst")]
    assert (tmp_path / "p1").read_text() == "s"


def test_pilots_on_this_machine_are_started_for_a_community(
    tmp_path: Path,
    central: Central,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    started: list[local_pilots.PilotPlan] = []

    def start_all(plans: list[local_pilots.PilotPlan]) -> list[SimpleNamespace]:
        started.extend(plans)
        return [SimpleNamespace(pid=7) for _ in plans]

    monkeypatch.setattr(local_pilots, "start_all", start_all)
    monkeypatch.setattr(local_pilots, "new_state_folder", lambda: tmp_path)

    assert run(["pilot", "start", "--site", "PIC", "--community", "lst"]) == 0
    assert central.asked == [SecretRequest(site="PIC", element="local", community="lst", count=1)]
    assert [(one.central, one.secret) for one in started] == [("https://central.test", "s")]
    assert f"p1: process 7, log {tmp_path}/pilot.log" in capsys.readouterr().out
