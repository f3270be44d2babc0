"""What pilots of each protocol version say is understood, and answered as they expect it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import yaml

from pilotage.proto.api.jobs import Submission
from pilotage.proto.api.pilots import SecretRequest
from tests import virtual
from tests.fakes import FakeInstallation

RECORDED = sorted(Path(__file__).parent.glob("pilot-*.yaml"))
Known = dict[str, Any]


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.stem)
def test_a_conversation_goes_as_it_was_recorded(file: Path) -> None:
    steps = yaml.safe_load(file.read_text())

    async def tell() -> None:
        world = FakeInstallation()
        await world.start()
        pilots = world.central.services.pilots
        made = await pilots.make_secrets(world.user(), SecretRequest(site="PIC"))
        known: Known = {"secret": made.secrets[0].secret, "token": ""}
        try:
            for number, step in enumerate(steps, start=1):
                await _play(world, step, known, where=f"step {number} of {file.name}")
        finally:
            await world.kill()

    virtual.run(tell(), limit_s=1_000)


async def _play(world: FakeInstallation, step: dict[str, Any], known: Known, where: str) -> None:
    if "submit" in step:
        jobs = [msgspec.Raw(b'{"command":["run"]}')] * step["submit"]
        submission = Submission(key=where, jobs=jobs)
        await world.central.services.submissions.submit(world.user(), submission, body_hash="x")
        return
    body = msgspec.json.encode(_filled(step["say"], known))
    reply = await world.ask("POST", step["post"], body, known["token"])

    assert reply.status == step.get("status", 200), (where, reply)
    _compare(step["hear"], msgspec.json.decode(reply.body), known, where)


def _filled(said: Any, known: Known) -> Any:
    if isinstance(said, dict):
        return {key: _filled(value, known) for key, value in cast(Known, said).items()}
    if isinstance(said, list):
        return [_filled(value, known) for value in cast(Sequence[Any], said)]
    if isinstance(said, str) and said.startswith("$"):
        return known[said[1:]]
    return said


def _compare(wanted: Any, heard: Any, known: Known, where: str) -> None:
    if isinstance(wanted, dict):
        for key, value in cast(Known, wanted).items():
            assert key in heard, f"{where}: {key} is missing in {heard}"
            _compare(value, heard[key], known, f"{where}, {key}")
    elif isinstance(wanted, list):
        values = cast(Sequence[Any], wanted)
        assert len(values) == len(heard), (where, heard)
        for i, value in enumerate(values):
            _compare(value, heard[i], known, f"{where}[{i}]")
    elif wanted == "*":
        assert heard not in (None, ""), where
    elif isinstance(wanted, str) and wanted.startswith("$") and wanted.endswith("="):
        known[wanted[1:-1]] = heard
    else:
        assert heard == _filled(wanted, known), where
