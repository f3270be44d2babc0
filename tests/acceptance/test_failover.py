"""A campaign that nobody looks after: failover flushes, completes, and mails what it did."""

import socket
import zlib
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope

from pilotage.central.client.errors import ClientError
from pilotage.proto.api.data import FileItem, ReplicaItem
from pilotage.proto.api.transformations import TransformationDetail
from pilotage.proto.transformation_states import InputState, TransformationState

from .running import eventually, running_central

CYCLE_S = 2.0
DOCUMENT = """
name: count
failover: true
inputs:
  - name: numbers
    query: {kind: number}
grouping: {size: 3}
job:
  command: [sh, -c, 'test "$PILOTAGE_JOB" -ne 2 || exit 3; sleep 0.2']
  needs: {wall_s: 300}
"""


class Box:
    """A mail server, and what it has taken."""

    def __init__(self) -> None:
        self.taken: list[Any] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.taken.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 taken"


@pytest.fixture
def box() -> Iterator[tuple[Box, int]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    made = Box()
    controller = Controller(made, hostname="127.0.0.1", port=port)
    controller.start()
    yield made, port
    controller.stop()


def test_what_fails_is_tried_again_a_rest_is_flushed_and_all_of_it_is_mailed_once(
    tmp_path: Path, box: tuple[Box, int]
) -> None:
    made, port = box
    storage = tmp_path / "central" / "central" / "storages"
    storage.mkdir(parents=True)
    storage.parent.chmod(0o700)
    (tmp_path / "disk").mkdir()
    text = f"type: file\nurl: file://{tmp_path}/disk\ndefault: true\nany_path: true\n"
    (storage / "disk.yaml").write_text(text)
    mail = {"host": "127.0.0.1", "port": port, "to": ["ops@example.org"], "every_s": 0.5}
    given = {
        "failover.cycle_s": str(CYCLE_S),
        "failover.mail": msgspec.json.encode(mail).decode(),
    }
    with running_central(tmp_path / "central", given) as central:
        files = [_number(one, tmp_path / "disk") for one in range(1, 8)]
        assert not central.client.register_files(files).refused
        file = tmp_path / "count.yaml"
        file.write_text(DOCUMENT)
        central.type("transformation", "add", str(file))
        central.pilot("PIC")
        eventually(lambda: central.client.transformation("count").view.tasks, what="tasks")
        central.kill9()
        central.restart()

        def look() -> TransformationDetail | None:
            try:
                found = central.client.transformation("count")
            except ClientError:
                return None
            return found if found.view.state is TransformationState.COMPLETED else None

        found = eventually(look, what="the end of count")
        assert found is not None
        # If a cycle sees the end first, it also tells that it has completed the transformation.
        subjects = eventually(lambda: _both(made), what="two mails")
        reports = [one for one in central.client.failure_reports() if one.cause != "complete"]
        said = central.type("failures", "reports")
        texts = [central.type("failures", "report", str(one.id)) for one in reports]

    assert found.view.inputs == {"numbers": {InputState.PROCESSED: 7}}
    assert sorted(one.cause for one in reports) == ["flush", "payload"]
    assert subjects == [
        "[pilotage] count: 1 failure of class payload",
        "[pilotage] count: flushed (rule: flush a last small group)",
    ]
    assert "count: flushed" in said
    assert any("1 x run again (rule: fails by itself)" in text for text in texts)
    assert sum(one.saved for one in reports) == 2


def _both(box: "Box") -> list[str]:
    """Return what mails are about, once there are two beside that of the completion."""
    subjects = [str(one["Subject"]) for one in box.taken]
    found = sorted(one for one in subjects if "failure" in one or "flushed" in one)
    return found if len(found) >= 2 else []


def _number(number: int, disk: Path) -> FileItem:
    content = f"{number}\n"
    (disk / f"in{number}.txt").write_text(content)
    return FileItem(
        did=f"users:in{number}.txt",
        bytes=len(content),
        adler32=f"{zlib.adler32(content.encode()):08x}",
        metadata={"kind": "number", "number": number},
        replicas=(ReplicaItem(storage="disk", path=f"in{number}.txt"),),
    )
