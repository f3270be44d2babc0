"""What a reader is not shown of a production and of its steps."""

from pathlib import Path

import msgspec

from pilotage.central.identity.callers import User
from pilotage.proto.api.jobs import SEALED_SHA256
from pilotage.proto.api.productions import NewProduction, ProductionDetail, Written
from pilotage.proto.claims import Role
from pilotage.proto.documents.job import Input
from pilotage.proto.documents.workflow import Workflow
from tests.unit.transformations.served import service
from tests.unit.workflows.written_here import workflow

from .served import CALLER, Served

READER = User(
    issuer="local",
    subject="rae",
    name="",
    community="ctao",
    groups=("sim",),
    role=Role.READER,
    expires_at=4e9,
    jti="",
)
FLOW = """
    workflow: chain
    parameters: {word: {value: chosen}}
    steps:
      make:
        tasks: 4
        files: [run.py]
        inputs: {word: {parameter: word}, pin: {value: said}}
        job: {command: [make, "{word}", "{pin}"], environment: {PASSWORD: hunter2}}
        outputs: {raw: "*"}
"""
SECRETS = ("hunter", "a" * 64)


async def _added(served: Served, flow: Workflow) -> ProductionDetail:
    body = NewProduction(
        workflow=flow,
        files={"run.py": Input(name="run.py", sha256="a" * 64, size_bytes=3)},
        written=Written(file="flow.yaml", form="pilotage", text=FLOW),
        rules="# mail hunter5",
    )
    found = await served.service.add(CALLER, body)
    assert isinstance(found, ProductionDetail)
    return found


async def test_a_reader_sees_a_production_without_what_opens_files_and_secrets(
    tmp_path: Path,
) -> None:
    served = Served()
    (tmp_path / "run.py").write_text("pass")
    await _added(served, workflow(tmp_path, FLOW))

    shown = await served.service.show(READER, "chain")
    text = msgspec.json.encode(shown).decode()
    assert shown.sealed
    assert not [one for one in (*SECRETS, "chosen", "said") if one in text]
    assert shown.workflow["steps"]["make"]["job"]["environment"] == {"PASSWORD": ""}
    assert shown.files["run.py"]["sha256"] == SEALED_SHA256
    assert shown.written["file"] == "flow.yaml"
    assert msgspec.convert(shown.workflow, Workflow).name == "chain", "it can be drawn"

    whole = await served.service.show(CALLER, "chain")
    assert not whole.sealed
    assert all(one in msgspec.json.encode(whole).decode() for one in SECRETS)


async def test_a_reader_sees_a_step_without_what_opens_files_and_secrets(tmp_path: Path) -> None:
    served = Served()
    (tmp_path / "run.py").write_text("pass")
    await _added(served, workflow(tmp_path, FLOW))

    steps = await service(served.store, CALLER)
    shown = await steps.show(READER, "chain-make")
    text = msgspec.json.encode(shown).decode()
    assert shown.sealed
    assert not [one for one in SECRETS if one in text]
    assert shown.document["job"]["environment"] == {"PASSWORD": ""}

    whole = await steps.show(CALLER, "chain-make")
    assert not whole.sealed
    assert all(one in msgspec.json.encode(whole).decode() for one in SECRETS)
